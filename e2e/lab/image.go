// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// Image is a container image made of a few static programs and nothing else.
type Image struct {
	Ref        string            // full reference with a tag.
	Files      map[string]string // path in the image: file of this machine.
	Entrypoint []string
	User       string
}

const ociType = "application/vnd.oci.image."

// Write writes the image as a tar file that containerd imports, and docker and
// podman load: an OCI layout with Docker's manifest beside it.
func (i Image) Write(t testing.TB, file string) {
	t.Helper()
	layer := i.layer(t)
	config := encode(t, object{
		"architecture": runtime.GOARCH, "os": runtime.GOOS,
		"config": object{"Entrypoint": i.Entrypoint, "User": i.User, "Env": []string{"PATH=/"}},
		"rootfs": object{"type": "layers", "diff_ids": []string{digest(layer)}},
	})
	manifest := encode(t, object{
		"schemaVersion": 2, "mediaType": ociType + "manifest.v1+json",
		"config": descriptor("config.v1+json", config),
		"layers": []object{descriptor("layer.v1.tar", layer)},
	})
	entry := descriptor("manifest.v1+json", manifest)
	_, tag, _ := strings.Cut(i.Ref, ":")
	entry["annotations"] = object{"io.containerd.image.name": i.Ref, "org.opencontainers.image.ref.name": tag}

	var out tarball
	out.add(t, "oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	out.add(t, "index.json", encode(t, object{
		"schemaVersion": 2, "mediaType": ociType + "index.v1+json", "manifests": []object{entry},
	}))
	out.add(t, "manifest.json", encode(t, []object{{
		"Config": blob(config), "RepoTags": []string{i.Ref}, "Layers": []string{blob(layer)},
	}}))
	for _, b := range [][]byte{config, manifest, layer} {
		out.add(t, blob(b), b)
	}
	if err := os.WriteFile(file, out.bytes(t), 0o644); err != nil {
		t.Fatal(err)
	}
}

// layer is the image's only one: its files, and a /tmp.
func (i Image) layer(t testing.TB) []byte {
	t.Helper()
	var out tarball
	out.mkdir(t, "tmp/")
	for _, name := range slices.Sorted(maps.Keys(i.Files)) {
		b, err := os.ReadFile(i.Files[name])
		if err != nil {
			t.Fatal(err)
		}
		name = strings.TrimPrefix(name, "/")
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			out.mkdir(t, dir+"/")
		}
		out.add(t, name, b)
	}
	return out.bytes(t)
}

// tarball is a tar archive in memory.
type tarball struct {
	buf bytes.Buffer
	w   *tar.Writer
}

func (b *tarball) header(t testing.TB, h tar.Header) {
	t.Helper()
	if b.w == nil {
		b.w = tar.NewWriter(&b.buf)
	}
	h.Mode = 0o755
	if err := b.w.WriteHeader(&h); err != nil {
		t.Fatal(err)
	}
}

func (b *tarball) mkdir(t testing.TB, name string) {
	t.Helper()
	b.header(t, tar.Header{Name: name, Typeflag: tar.TypeDir})
}

func (b *tarball) add(t testing.TB, name string, data []byte) {
	t.Helper()
	b.header(t, tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(data))})
	if _, err := b.w.Write(data); err != nil {
		t.Fatal(err)
	}
}

func (b *tarball) bytes(t testing.TB) []byte {
	t.Helper()
	if err := b.w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.buf.Bytes()
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func blob(b []byte) string { return "blobs/" + strings.Replace(digest(b), ":", "/", 1) }

func descriptor(kind string, b []byte) object {
	return object{"mediaType": ociType + kind, "digest": digest(b), "size": len(b)}
}

// HogName is the image whose only program is e2e/hog.
const HogName = "docker.io/library/hog:e2e"

// HogImage is that image.
func HogImage(t testing.TB) Image {
	t.Helper()
	return Image{Ref: HogName, Files: map[string]string{"/hog": Hog(t)}, Entrypoint: []string{"/hog"}}
}

// Pause is the image of CRI's sandboxes: a hog that takes nothing and holds.
func Pause(t testing.TB) Image {
	t.Helper()
	return Image{Ref: PauseImage, Files: map[string]string{"/pause": Hog(t)}, Entrypoint: []string{"/pause"}}
}
