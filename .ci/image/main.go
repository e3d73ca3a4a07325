// SPDX-License-Identifier: Apache-2.0

// Command image puts static binaries into an image archive for all their
// architectures: an OCI layout, as `ctr images import`, `podman load` and
// `skopeo copy oci-archive:` take it. Equal binaries give an equal archive.
package main

import (
	"archive/tar"
	"bytes"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// what is the metadata of an image.
type what struct {
	name, tag, revision, description, port, licence string
	made                                            time.Time
}

func main() {
	var w what
	out := flag.String("out", "", "file to write")
	seconds := flag.Int64("epoch", 0, "time of the image, in seconds since 1970 (SOURCE_DATE_EPOCH)")
	flag.StringVar(&w.name, "name", "", "name of the image and of the program in it")
	flag.StringVar(&w.tag, "tag", "", "tag")
	flag.StringVar(&w.revision, "revision", "", "git revision")
	flag.StringVar(&w.description, "description", "", "what the program does")
	flag.StringVar(&w.port, "port", "", "TCP port that it listens on")
	flag.StringVar(&w.licence, "licence", "LICENSE", "file with the licence, put in beside the program")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: image -out FILE -name NAME -tag TAG [...] PLATFORM=BINARY ...")
		flag.PrintDefaults()
	}
	flag.Parse()
	w.made = time.Unix(*seconds, 0).UTC()
	if *out == "" || w.name == "" || flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := archive(*out, w, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// archive writes the image of each platform, and the index of them, to a file.
func archive(out string, w what, binaries []string) error {
	index := v1.ImageIndex(mutate.IndexMediaType(empty.Index, types.OCIImageIndex))
	for _, arg := range binaries {
		name, binary, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("%q: want PLATFORM=BINARY, like linux/arm64=./oom_exporter", arg)
		}
		platform, err := v1.ParsePlatform(name)
		if err != nil {
			return err
		}
		img, err := build(w, platform, binary)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: platform}})
	}
	dir, err := os.MkdirTemp("", "image")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	names := layout.WithAnnotations(map[string]string{
		"io.containerd.image.name":          "docker.io/library/" + w.name + ":" + w.tag,
		"org.opencontainers.image.ref.name": w.tag,
	})
	if err := p.AppendIndex(index, names); err != nil {
		return err
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	if err := pack(f, dir, w.made); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// build makes the image of one platform: the binary, run as nobody, and the licence.
func build(w what, platform *v1.Platform, binary string) (v1.Image, error) {
	program := strings.ReplaceAll(w.name, "-", "_")
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	if err := add(t, program, binary, 0o755, w.made); err != nil {
		return nil, err
	}
	if err := add(t, "LICENSE", w.licence, 0o644, w.made); err != nil {
		return nil, err
	}
	if err := t.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err = mutate.Append(img, mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: w.made}}})
	if err != nil {
		return nil, err
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	cfg = cfg.DeepCopy()
	cfg.Created = v1.Time{Time: w.made}
	cfg.OS, cfg.Architecture, cfg.Variant = platform.OS, platform.Architecture, platform.Variant
	cfg.Config = v1.Config{
		User: "65534:65534", Entrypoint: []string{"/" + program},
		Labels: map[string]string{
			"org.opencontainers.image.title":       program,
			"org.opencontainers.image.description": w.description,
			"org.opencontainers.image.source":      "https://github.com/oom-exporter/oom_exporter",
			"org.opencontainers.image.licenses":    "Apache-2.0",
			"org.opencontainers.image.version":     w.tag,
			"org.opencontainers.image.revision":    w.revision,
		},
	}
	if w.port != "" {
		cfg.Config.ExposedPorts = map[string]struct{}{w.port + "/tcp": {}}
	}
	return mutate.ConfigFile(img, cfg)
}

// pack writes the files of a directory as a tar archive, in the order of their
// names and with the time given.
func pack(w io.Writer, dir string, made time.Time) error {
	t := tar.NewWriter(w)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return add(t, name, path, 0o644, made)
	})
	if err != nil {
		return err
	}
	return t.Close()
}

// add puts a file into a tar archive.
func add(t *tar.Writer, name, file string, mode int64, made time.Time) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := t.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(content)), ModTime: made}); err != nil {
		return err
	}
	_, err = t.Write(content)
	return err
}
