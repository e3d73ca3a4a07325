// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"time"

	"github.com/go-kit/log/level"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// The files: what was frozen, and the coarse rings of living cgroups. Each is a
// magic with the version, the boot ID, the content, and a checksum of all of it.
const (
	recordingsFile  = "recordings"
	ringsFile       = "rings"
	recordingsMagic = "OOMREC01"
	ringsMagic      = "OOMRNG01"

	// saveGap is the least time between two saves of recordings, and ringsGap
	// that of the rings.
	saveGap  = time.Second
	ringsGap = spanLength
	// retryGap is the time until a save is tried again.
	retryGap = 30 * time.Second
)

var (
	errMagic     = errors.New("not a file of this kind, or of another version")
	errSum       = errors.New("checksum does not match")
	errOtherBoot = errors.New("it is of another boot")
)

// seal makes the content of a file.
func seal(magic, boot string, body []byte) []byte {
	e := &encoder{b: append(make([]byte, 0, len(body)+len(boot)+64), magic...)}
	e.text(boot)
	e.b = append(e.b, body...)
	return binary.LittleEndian.AppendUint32(e.b, crc32.ChecksumIEEE(e.b))
}

// unseal is the inverse of seal.
func unseal(magic, boot string, b []byte) ([]byte, error) {
	const sumSize = 4
	if len(b) < len(magic)+sumSize || string(b[:len(magic)]) != magic {
		return nil, errMagic
	}
	content, sum := b[:len(b)-sumSize], b[len(b)-sumSize:]
	if crc32.ChecksumIEEE(content) != binary.LittleEndian.Uint32(sum) {
		return nil, errSum
	}
	d := &decoder{b: content[len(magic):]}
	of := d.text()
	switch {
	case d.err != nil:
		return nil, d.err
	case of != boot:
		return nil, errOtherBoot
	}
	return d.b, nil
}

// savedTrack is what is saved of a living cgroup, so that it outlives this process.
type savedTrack struct {
	found  stamp // valid if isBorn.
	isBorn bool
	coarse spans
}

// encodeRings returns the coarse rings.
func (r *Recorder) encodeRings() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := &encoder{}
	e.uint(uint64(len(r.live)))
	for _, t := range r.live {
		e.text(t.Path)
		e.uint(t.Inode)
		e.bool(t.isBorn)
		e.stamp(t.found)
		e.spans(t.coarse)
	}
	return e.b
}

func decodeRings(b []byte) (map[oom.GroupID]savedTrack, error) {
	d := &decoder{b: b}
	all := map[oom.GroupID]savedTrack{}
	for range d.count(5) {
		id := oom.GroupID{Path: d.text(), Inode: d.uint()}
		all[id] = savedTrack{isBorn: d.bool(), found: d.stamp(), coarse: d.spans()}
	}
	if d.err != nil || len(d.b) != 0 {
		return nil, errDamaged
	}
	return all, nil
}

func (s *shelf) encode() []byte {
	e := &encoder{b: make([]byte, 0, s.bytes+16*len(s.order))}
	e.uint(uint64(len(s.order)))
	for _, id := range s.order {
		e.text(string(s.byID[id]))
	}
	return e.b
}

// decode puts the recordings of a file on the shelf.
func (s *shelf) decode(b []byte) error {
	d := &decoder{b: b}
	var all []*recording
	var texts []string
	for range d.count(1) {
		text := d.text()
		c, err := decodeRecording([]byte(text))
		if err != nil {
			return err
		}
		all, texts = append(all, c), append(texts, text)
	}
	if d.err != nil || len(d.b) != 0 {
		return errDamaged
	}
	for i, c := range all {
		s.put(c.id, []byte(texts[i]))
	}
	return nil
}

// load restores what was saved during this boot, if anything was. A file of another
// boot is ignored; one that can't be used is set aside.
func (r *Recorder) load() {
	if r.o.Store == nil {
		return
	}
	r.loadFile(recordingsFile, recordingsMagic, func(b []byte) error {
		return r.frozen.decode(b)
	})
	r.loadFile(ringsFile, ringsMagic, func(b []byte) (err error) {
		r.restored, err = decodeRings(b)
		return err
	})
}

func (r *Recorder) loadFile(name, magic string, use func([]byte) error) {
	b, err := r.o.Store.Load(name)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		if b, err = unseal(magic, r.o.BootID, b); err == nil {
			err = use(b)
		}
	}
	switch {
	case err == nil:
		return
	case errors.Is(err, errOtherBoot):
		_ = level.Info(r.o.Logger).Log("msg", "ignoring what the flight recorder saved: "+err.Error(), "file", name)
		return
	}
	to, asideErr := r.o.Store.SetAside(name)
	if asideErr != nil {
		to = fmt.Sprint("not moved: ", asideErr)
	}
	_ = level.Warn(r.o.Logger).Log("msg", "ignoring a file of the flight recorder; what was recorded before is lost", "file", name, "err", err, "moved_to", to)
}

// requestSave says that there is something to save. It never waits.
func (r *Recorder) requestSave() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// keepSaved saves until ctx is done, and a last time then. A disk that hangs
// holds up nothing else.
func (r *Recorder) keepSaved(ctx context.Context) {
	if r.o.Store == nil {
		return
	}
	rings := time.NewTicker(ringsGap)
	defer rings.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-rings.C:
			r.saveRings()
		case <-r.wake:
			pause := time.NewTimer(r.saveRecordings())
			select {
			case <-ctx.Done():
			case <-pause.C:
			}
			pause.Stop()
		}
	}
	r.saveRecordings()
	r.saveRings()
}

func (r *Recorder) saveRings() {
	r.mu.Lock()
	waiting := r.restored != nil // the saved rings are not with their cgroups yet.
	r.mu.Unlock()
	if waiting {
		return
	}
	err := r.o.Store.Save(ringsFile, seal(ringsMagic, r.o.BootID, r.encodeRings()))
	r.report("rings", "cannot save the flight recorder's rings; a restart loses the last day", err)
}

// saveRecordings saves the recordings if they have changed, and returns how long to
// wait at least before the next save.
func (r *Recorder) saveRecordings() time.Duration {
	r.mu.Lock()
	changed := r.changed
	r.changed = time.Time{}
	body := r.frozen.encode()
	r.mu.Unlock()
	if changed.IsZero() {
		return 0
	}
	started := time.Now()
	err := r.o.Store.Save(recordingsFile, seal(recordingsMagic, r.o.BootID, body))
	r.report("recordings", "cannot save recordings of kills; a restart loses them", err)
	if err == nil {
		return max(saveGap, min(20*time.Since(started), retryGap))
	}
	r.mu.Lock()
	r.changed = changed
	r.mu.Unlock()
	r.requestSave()
	return retryGap
}
