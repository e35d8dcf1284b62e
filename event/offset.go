package event

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// offset is how far a reader has come. It is a line in a file of its own, the
// number and its CRC-32C:
//
//	00000000000000001042 8a1c3f07
//
// written over in place: that needs no space, so that readers get on when the
// disk is full.
type offset struct {
	name    string
	file    string
	seq     uint64     // the last event committed
	open    bool       // there is a Reader for it
	writing sync.Mutex // held while seq changes; seq and open belong to the log's mu
}

const offsetSuffix = ".reader"

func validReader(name string) bool {
	return name != "" && len(name) <= 64 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// newOffset begins a reader at the oldest event there is. The caller holds
// dropping.
func (l *Log) newOffset(name string) (*offset, error) {
	seq, err := l.beforeOldest()
	if err != nil {
		return nil, err
	}
	o := &offset{name: name, file: filepath.Join(l.dir, name+offsetSuffix)}
	if err := o.write(seq); err != nil {
		return nil, err
	}
	o.seq = seq
	return o, syncDir(l.dir)
}

// beforeOldest gives the sequence number before the oldest segment's first.
func (l *Log) beforeOldest() (uint64, error) {
	firsts, err := listSegments(l.dir)
	if err != nil {
		return 0, err
	}
	if len(firsts) == 0 {
		return 0, fmt.Errorf("no segment in %s: %w", l.dir, os.ErrNotExist)
	}
	return firsts[0] - 1, nil
}

// write puts a number into the file.
func (o *offset) write(seq uint64) error {
	f, err := os.OpenFile(o.file, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(offsetLine(seq), 0)
	return errors.Join(err, f.Close())
}

func (o *offset) remove() error { return os.Remove(o.file) }

func offsetLine(seq uint64) []byte {
	line := fmt.Appendf(nil, "%020d", seq)
	return fmt.Appendf(line, " %08x\n", crc32.Checksum(line, castagnoli))
}

// loadOffsets gives the offsets in dir by name. One that can't be made out is 0:
// its reader starts over, which at least once allows.
func loadOffsets(dir string) (map[string]*offset, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*"+offsetSuffix))
	if err != nil {
		return nil, err
	}
	offsets := make(map[string]*offset, len(files))
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), offsetSuffix)
		if !validReader(name) {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		o := &offset{name: name, file: file}
		var seq uint64
		if _, err := fmt.Sscanf(string(data), "%d", &seq); err == nil && string(data) == string(offsetLine(seq)) {
			o.seq = seq
		}
		offsets[name] = o
	}
	return offsets, nil
}
