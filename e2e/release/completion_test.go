// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package release

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// bashScript asks the installed script as bash does after a tabulator.
const bashScript = `. /usr/share/bash-completion/completions/oom_exporter
COMP_WORDS=(oom_exporter do) COMP_CWORD=1
"$(complete -p oom_exporter | sed 's/.*-F \([^ ]*\).*/\1/')"
echo "${COMPREPLY[*]}"`

// zshScript types into a zsh of its own that finds the installed script.
const zshScript = `zmodload zsh/zpty
zpty shell "$ZSH" -f -i
zpty -w shell "module_path=($module_path); fpath=($fpath); autoload -Uz compinit; compinit -u -D; print compl''etion"
zpty -r -m shell out '*completion*'
zpty -w -n shell $'oom_exporter do\t'
zpty -r -m shell out '*doctor*'
print -r -- "$out"`

// checkCompletions completes a command by the scripts of the installed package.
func checkCompletions(t *testing.T) {
	t.Helper()
	if got := strings.TrimSpace(lab.Command(t, "bash", "--norc", "-euc", bashScript)); got != "doctor" {
		t.Errorf("bash completes to %q", got)
	}
	root := lab.Debian(t, "zsh", "zsh-common")
	cmd := exec.Command("timeout", "60", root+"/bin/zsh", "-f", "-c",
		`module_path=($ROOT/usr/lib/*/zsh/*(/)) fpath=(/usr/share/zsh/vendor-completions $ROOT/usr/share/zsh/functions/**/*(/)); `+zshScript)
	cmd.Env = append(os.Environ(), "ROOT="+root, "ZSH="+root+"/bin/zsh", "TERM=dumb")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "doctor") {
		t.Errorf("zsh completes to %q: %v", out, err)
	}
}
