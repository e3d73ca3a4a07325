// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"debug/elf"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// builder runs buildah on a storage of the test's own.
type builder struct {
	t       *testing.T
	storage string
}

func (b builder) run(args ...string) string {
	b.t.Helper()
	global := []string{"--root", b.storage + "/root", "--runroot", b.storage + "/run", "--storage-driver", "vfs"}
	return strings.TrimSpace(lab.Command(b.t, "buildah", append(global, args...)...))
}

// goImage makes a local stand-in for the golang image, which would need a
// registry: busybox for RUN. It returns the options that mount Go itself and
// its caches from this machine.
func (b builder) goImage() []string {
	b.t.Helper()
	lab.Command(b.t, "go", "mod", "download") // all of them, as the Dockerfile does.
	busybox := strings.TrimSpace(lab.Command(b.t, "which", "busybox"))
	name := b.run("from", "scratch")
	b.run("copy", name, busybox, "/bin/sh")
	b.run("copy", name, b.t.TempDir(), "/tmp")
	var volumes []string
	for variable, dir := range map[string]string{"GOROOT": "/usr/local/go", "GOMODCACHE": "/go/pkg/mod", "GOCACHE": "/gocache"} {
		volumes = append(volumes, "--volume", goEnv(b.t, variable)+":"+dir)
	}
	b.run("config", "--env", "PATH=/usr/local/go/bin:/bin", "--env", "GOPATH=/go", "--env", "GOCACHE=/gocache",
		"--env", "GOTOOLCHAIN=local", "--env", "GOFLAGS="+goEnv(b.t, "GOFLAGS"), name)
	b.run("commit", "--rm", name, "docker.io/library/golang:1.26")
	return volumes
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	return strings.TrimSpace(lab.Command(t, "go", "env", name))
}

// imageConfig is the part of an image's configuration that we set.
type imageConfig struct {
	OCIv1 struct {
		Config struct {
			User         string
			ExposedPorts map[string]struct{}
			Entrypoint   []string
			Labels       map[string]string
		} `json:"config"`
	}
}

// TestImage builds the Dockerfile and runs what came out.
func TestImage(t *testing.T) {
	lab.Root(t)
	lab.Need(t, "buildah", "busybox", "runc")
	storage, err := os.MkdirTemp("/var/tmp", "oom-e2e-") // not a tmpfs: images are large.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(storage) })
	b := builder{t: t, storage: storage}
	b.run(slices.Concat([]string{
		"bud", "--isolation", "chroot", "--network", "host", "--pull-never",
		"--platform", runtime.GOOS + "/" + runtime.GOARCH, "--build-arg", "VERSION=1.2.3-e2e", "--tag", "oom-exporter",
	},
		b.goImage(), []string{lab.Repository(t)})...)

	var config imageConfig
	if err := json.Unmarshal([]byte(b.run("inspect", "--type", "image", "oom-exporter")), &config); err != nil {
		t.Fatal(err)
	}
	c := config.OCIv1.Config
	if c.User != "65534:65534" || strings.Join(c.Entrypoint, " ") != "/oom_exporter" {
		t.Errorf("the image runs %q as %q", c.Entrypoint, c.User)
	}
	if _, ok := c.ExposedPorts["10137/tcp"]; !ok {
		t.Errorf("the image exposes %v", c.ExposedPorts)
	}
	if got := c.Labels["org.opencontainers.image.version"]; got != "1.2.3-e2e" {
		t.Errorf("the image's version label is %q", got)
	}

	name := b.run("from", "--pull-never", "oom-exporter")
	rootfs := b.run("mount", name)
	checkStatic(t, filepath.Join(rootfs, "oom_exporter"))
	e := lab.StartContainer(t, lab.Container{Rootfs: rootfs, Args: c.Entrypoint, UID: 65534})
	checkFromContainer(t, e)
	if info := e.Scrape(t).Find("oom_exporter_build_info"); len(info) != 1 || lab.Label(info[0], "version") != "1.2.3-e2e" {
		t.Errorf("build info is %v", info)
	}
}

// checkStatic fails for a binary that needs a loader or shared libraries.
func checkStatic(t *testing.T, path string) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Section(".interp") != nil || f.Section(".dynamic") != nil {
		t.Errorf("%s is not static", path)
	}
}
