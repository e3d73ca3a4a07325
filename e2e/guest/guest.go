// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package guest boots a Debian kernel in a virtual machine, with busybox, the
// exporter, the hog and one script inside, so that a test can have cgroup v2,
// another kernel, or an OOM of the whole machine.
//
// A scenario is one test and one script. The script runs as root in the guest
// with the functions of init.sh: it makes groups, runs hogs, starts the
// exporter, and talks to the test by say and await. What it leaves in /out the
// test reads by File once the guest has ended.
package guest

import (
	"bytes"
	_ "embed" // for init.sh.
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

//go:embed init.sh
var initScript []byte

// Options says what the guest is and does. The zero value of a field means
// what stands in brackets.
type Options struct {
	Kernel   Kernel            // [K61]
	Cgroup   int               // 1 or 2 [2]
	MemoryMB int               // [512]
	CPUs     int               // [2]
	Parallel bool              // whether they run at the same time, for tests of how soon something is seen [in turns; see qemu].
	SwapMB   int               // [0]: no swap.
	Script   string            // the script, or the name of a file in e2e/scenarios.
	Files    map[string]string // path in the guest: path on the host; hog and oom_exporter are always there.
	Forward  int               // the guest's port that URL reaches [10137].
	Append   string            // more of the kernel's command line.
	Modules  []string          // more kernel modules to load.
	Packages []string          // Debian's, systemd among them: the guest's root, and systemd its first process [none: busybox].
	Timeout  time.Duration     // from start to power-off [3 minutes].
}

// VM is a running guest.
type VM struct {
	*lab.Process
	url     string
	control net.Conn
	lines   chan string
	done    chan struct{}
	disk    string
	timeout time.Duration
	started time.Time
}

// Run boots a guest and returns while it boots. The test needs qemu and
// busybox; it fails with the guest's console when the guest fails.
func Run(t testing.TB, o Options) *VM {
	t.Helper()
	lab.Need(t, "qemu-system-x86_64", "busybox")
	o.setDefaults()
	kernel := o.Kernel.dir(t)
	dir, err := os.MkdirTemp("", "oom-vm-") // a short name: sockets have 107 bytes.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	o.files(t, kernel, dir)
	vm := &VM{
		disk: filepath.Join(dir, "out"), timeout: o.Timeout, started: time.Now(),
		lines: make(chan string, 1000), done: make(chan struct{}),
	}
	sparse(t, vm.disk, 64)
	listener, err := net.Listen("unix", filepath.Join(dir, "control"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port := lab.FreePort(t)
	vm.url = fmt.Sprintf("http://127.0.0.1:%d", port)
	vm.Process = lab.Start(t, exec.Command("qemu-system-x86_64", o.qemu(t, kernel, dir, port)...))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("console of the guest:\n%s", vm.Console())
		}
	})
	_ = listener.(*net.UnixListener).SetDeadline(time.Now().Add(time.Minute))
	if vm.control, err = listener.Accept(); err != nil {
		t.Fatalf("qemu did not start: %v", err)
	}
	t.Cleanup(func() { vm.control.Close() })
	go vm.listen()
	return vm
}

func (o *Options) setDefaults() {
	if o.Kernel == (Kernel{}) {
		o.Kernel = K61
	}
	setDefault(&o.Cgroup, 2)
	setDefault(&o.MemoryMB, 512)
	setDefault(&o.CPUs, 2)
	setDefault(&o.Forward, 10137)
	setDefault(&o.Timeout, 3*time.Minute)
}

func setDefault[T comparable](v *T, value T) {
	if *v == *new(T) {
		*v = value
	}
}

// files writes the guest's initramfs, and the disk with its root if it has one.
func (o *Options) files(t testing.TB, kernel, dir string) {
	t.Helper()
	order, files, err := modules(kernel, append([]string{"virtio_pci", "virtio_blk", "virtio_net"}, o.Modules...)...)
	if err != nil {
		t.Fatal(err)
	}
	first := map[string][]byte{"/init": initScript, "/modules/order": []byte(strings.Join(order, "\n") + "\n")}
	for name, data := range files {
		first["/modules/"+name] = data
	}
	busybox, _ := exec.LookPath("busybox")
	read(t, first, map[string]string{"/bin/busybox": busybox})
	programs := map[string]string{"/bin/hog": lab.Hog(t), "/bin/oom_exporter": lab.Binary(t)}
	if len(o.Packages) == 0 {
		first["/script"] = []byte(o.script(t))
		read(t, first, programs, o.Files)
	} else {
		root := map[string][]byte{"/oom/init": initScript, "/oom/script": []byte(o.script(t))}
		read(t, root, map[string]string{"/oom/bin/busybox": busybox}, programs, o.Files)
		o.rootDisk(t, root, filepath.Join(dir, "root"))
	}
	var b bytes.Buffer
	if err := writeCPIO(&b, first); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "initrd"), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// read adds the files of this machine.
func read(t testing.TB, content map[string][]byte, lists ...map[string]string) {
	t.Helper()
	for _, list := range lists {
		for name, path := range list {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			content[name] = data
		}
	}
}

func (o *Options) script(t testing.TB) string {
	t.Helper()
	if strings.Contains(o.Script, "\n") || !strings.HasSuffix(o.Script, ".sh") {
		return o.Script
	}
	b, err := os.ReadFile(filepath.Join(lab.Repository(t), "e2e", "scenarios", o.Script))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// qemu returns the arguments. The machine is emulated unless
// OOM_E2E_ACCEL says otherwise: nested virtualisation is rare on runners. On a
// busy host its timer fails the kernel's check at boot, hence no_timer_check.
//
// With a thread for each CPU, qemu 7.2 runs code at times that the kernel has since
// patched. Tracepoints that were switched on and off killed Linux 6.12 within 5 s and
// hung 6.1; see TestPatchedCode. With one thread for all, a CPU that is busy may keep
// the others waiting for 0.1 s.
func (o *Options) qemu(t testing.TB, kernel, dir string, port int) []string {
	t.Helper()
	images, err := filepath.Glob(filepath.Join(kernel, "boot", "vmlinuz-*"))
	if err != nil || len(images) != 1 {
		t.Fatalf("%d kernel images in %s", len(images), kernel)
	}
	accel := os.Getenv("OOM_E2E_ACCEL")
	if accel == "" {
		accel = "tcg,thread=single"
		if o.Parallel {
			accel = "tcg,thread=multi"
		}
	}
	args := []string{
		"-accel", accel, "-machine", "q35", "-cpu", "max", "-smp", strconv.Itoa(o.CPUs), "-m", strconv.Itoa(o.MemoryMB),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-kernel", images[0], "-initrd", filepath.Join(dir, "initrd"),
		"-append", fmt.Sprintf("console=ttyS0 panic=-1 quiet loglevel=3 psi=1 no_timer_check oom_cgroup=%d %s", o.Cgroup, o.commandLine()),
		"-serial", "stdio", "-chardev", "socket,id=control,path=" + filepath.Join(dir, "control"), "-serial", "chardev:control",
		"-drive", "if=virtio,format=raw,file=" + filepath.Join(dir, "out"),
		"-netdev", fmt.Sprintf("user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:%d-:%d", port, o.Forward),
		"-device", "virtio-net-pci,romfile=,netdev=net",
	}
	if o.SwapMB > 0 {
		swap := filepath.Join(dir, "swap")
		sparse(t, swap, o.SwapMB)
		args = append(args, "-drive", "if=virtio,format=raw,file="+swap)
	}
	if len(o.Packages) > 0 { // the last disk.
		args = append(args, "-drive", "if=virtio,format=raw,file="+filepath.Join(dir, "root"))
	}
	return args
}

// commandLine is what is special about this guest's kernel command line.
func (o *Options) commandLine() string {
	if len(o.Packages) == 0 {
		return o.Append
	}
	disk := "vdb"
	if o.SwapMB > 0 {
		disk = "vdc"
	}
	return o.Append + " oom_root=" + disk + " systemd.unit=oom.service systemd.show_status=0 systemd.firstboot=0"
}

func sparse(t testing.TB, path string, megabytes int) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(megabytes)<<20); err != nil {
		t.Fatal(err)
	}
}
