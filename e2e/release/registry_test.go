// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package release

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// pushScript runs in a network and mount namespace of its own, where the page's
// registry has an address, and containers' tools know that it has no TLS. What
// it starts ends with it.
const pushScript = `set -eu
ip link set lo up
mount --bind hosts /etc/hosts
mount --bind registries.conf /etc/containers/registries.conf
docker-registry serve config.yml >registry.log 2>&1 &
n=0
until curl -sf "http://$HOST/v2/" >/dev/null; do
  sleep 0.1
  n=$((n + 1))
  [ $n -lt 300 ] || { cat registry.log >&2; exit 1; }
done
cd "$CHECKOUT"
eval "$COMMAND" >&2
ctr --address "$SOCKET" images pull --plain-http --snapshotter native "$IMAGE" >&2
skopeo inspect --raw "docker://$IMAGE"
`

// TestRegistry pushes the archive to a registry by the page's words, and
// containerd pulls and runs what the page then gives to the chart.
func TestRegistry(t *testing.T) {
	checkout := linkedCheckout(t)
	lab.Need(t, "ip", "unshare", "curl")
	debian := lab.Debian(t, "skopeo", "docker-registry")
	c := lab.StartContainerd(t, lab.ContainerdOptions{Root: lab.PrivateRoot(t)})
	command := words(t, "docs/install/README.md", "skopeo copy")
	image := command[strings.LastIndex(command, "docker://")+len("docker://"):]
	if chart := words(t, "docs/install/README.md", "helm install"); !strings.Contains(chart, "image.repository="+strings.TrimSuffix(image, ":"+version(t))) {
		t.Errorf("the page pushes %s and installs\n%s", image, chart)
	}
	address, err := url.Parse("http://" + image[:strings.Index(image, "/")])
	if err != nil {
		t.Fatal(err)
	}

	dir := t.TempDir()
	for name, text := range map[string]string{
		"hosts":           "127.0.0.1 localhost " + address.Host + "\n",
		"registries.conf": fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n", address.Host),
		"config.yml":      fmt.Sprintf("version: 0.1\nstorage: {filesystem: {rootdirectory: %s/data}}\nhttp: {addr: '127.0.0.1:80'}\n", dir),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", pushScript)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+lab.DebianPath(debian), "HOST="+address.Host, "CHECKOUT="+checkout, "COMMAND="+command, "IMAGE="+image, "SOCKET="+c.Socket)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, errs.String())
	}
	var index struct {
		Manifests []struct {
			Platform struct{ Architecture string }
		}
	}
	if err := json.Unmarshal(out, &index); err != nil || len(index.Manifests) == 0 {
		t.Errorf("the registry has no image of several architectures: %v\n%s", err, out)
	}
	if got := c.Ctr(t, "run", "--rm", "--snapshotter", "native", image, "from-the-registry", "/oom_exporter", "--version"); !strings.Contains(got, "version "+version(t)) {
		t.Errorf("%s says %s", image, got)
	}
}

// linkedCheckout is a directory with the release in dist, where the pages'
// commands look for it.
func linkedCheckout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(dist(t), filepath.Join(dir, "dist")); err != nil {
		t.Fatal(err)
	}
	return dir
}
