// SPDX-License-Identifier: Apache-2.0

package charts_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v2"
)

const (
	installPage = "../docs/install/README.md"
	laptop      = "../docs/install/laptop/"
)

// service is the part of a compose file's service that matters here.
type service struct {
	Image, Pid, Cgroup, User string
	CapDrop                  []string `yaml:"cap_drop"`
	CapAdd                   []string `yaml:"cap_add"`
	SecurityOpt              []string `yaml:"security_opt"`
	ReadOnly                 bool     `yaml:"read_only"`
	Command, Volumes, Ports  []string
}

func compose(t *testing.T) map[string]service {
	t.Helper()
	var c struct{ Services map[string]service }
	if err := yaml.Unmarshal([]byte(read(t, laptop+"compose.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	return c.Services
}

// TestComposeMounts: what the compose file mounts from the checkout is there.
func TestComposeMounts(t *testing.T) {
	mounts := 0
	for name, s := range compose(t) {
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if !strings.HasPrefix(from, ".") {
				continue
			}
			mounts++
			if _, err := os.Stat(laptop + from); err != nil {
				t.Errorf("%s mounts %s: %v", name, from, err)
			}
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s listens to the whole network: %s", name, p)
			}
		}
	}
	if mounts < 5 {
		t.Errorf("the compose file mounts %d files of the checkout", mounts)
	}
}

// TestDockerRun: the compose file and the page's docker run say the same, and
// give no more than is needed.
func TestDockerRun(t *testing.T) {
	s := compose(t)["oom_exporter"]
	_, command, _ := strings.Cut(read(t, installPage), "docker run ")
	command, _, _ = strings.Cut(command, "\ncurl")
	command = strings.ReplaceAll(command, "\\\n", "")
	for option, value := range map[string]string{
		"pid": s.Pid, "cgroupns": s.Cgroup, "user": s.User, "cap-drop": strings.Join(s.CapDrop, " "), "cap-add": strings.Join(s.CapAdd, " "),
		"publish": strings.Join(s.Ports, " "), "volume": s.Volumes[0],
	} {
		if value == "" || !strings.Contains(command, "--"+option+" "+value+" ") {
			t.Errorf("docker run lacks --%s %s of the compose file:\n%s", option, value, command)
		}
	}
	if !strings.Contains(command, "--read-only ") || !s.ReadOnly || !strings.HasSuffix(strings.TrimSpace(command), s.Image) || strings.Contains(command, "--privileged") {
		t.Errorf("docker run is not the compose file's:\n%s", command)
	}
	if want := "oom-exporter:" + strings.TrimSpace(read(t, "../VERSION")); s.Image != want {
		t.Errorf("the image is %s, want %s", s.Image, want)
	}
	flags := read(t, "../docs/flags.md")
	for _, arg := range s.Command {
		if name, _, _ := strings.Cut(arg, "="); !strings.Contains(flags, "| `"+name+"` |") {
			t.Errorf("there is no flag %s", name)
		}
	}
}

// TestLaptopPrometheus gives the configuration, with the rules that it loads, to
// Prometheus' own checker.
func TestLaptopPrometheus(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not on PATH (Debian: prometheus)")
	}
	rules, err := filepath.Abs("../dashboards/rules")
	if err != nil {
		t.Fatal(err)
	}
	config := strings.ReplaceAll(read(t, laptop+"prometheus.yml"), "/etc/prometheus/rules", rules)
	path := filepath.Join(t.TempDir(), "prometheus.yml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(promtool, "check", "config", path).CombinedOutput()
	if err != nil || !regexp.MustCompile(`SUCCESS: \d+ rules found`).Match(out) {
		t.Errorf("promtool check config: %v\n%s", err, out)
	}
}

// links are those of a page, without what is behind a #.
var links = regexp.MustCompile(`\]\(([^)#]+)(?:#[^)]*)?\)`)

// TestInstallLinks: what the pages link to in the repository is there.
func TestInstallLinks(t *testing.T) {
	for _, page := range glob(t, "../docs/install/*.md") {
		n := 0
		for _, link := range links.FindAllStringSubmatch(read(t, page), -1) {
			if strings.Contains(link[1], "://") {
				continue
			}
			n++
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), link[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
		if n < 2 {
			t.Errorf("%s has %d links", page, n)
		}
	}
}
