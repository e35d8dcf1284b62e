package event

import (
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A segment is one file of the log. It is named by the sequence number of its
// first event, and begins with a line that names the log:
//
//	bugle events 1 "n1-4kq7zt2v" 5d1c09ae
//
// with the CRC-32C of what stands before it. Records follow. In a log that seals,
// the line also has the segment's key, itself sealed, and stands once more in a
// file of its own, since without the key nothing of the segment can be read:
//
//	bugle events 2 "n1-4kq7zt2v" AXkq… 41b2c0de
const (
	segmentSuffix = ".log"
	keySuffix     = ".key"
	segmentDigits = 16
	plainTitle    = "bugle events 1 "
	keyedTitle    = "bugle events 2 "
	maxTitle      = 1024
)

// heading is what the title of a segment says.
type heading struct {
	id   string // of the log; "" if there is no whole title
	key  []byte // the segment's key, sealed; nil if it has none
	size int64  // of the line
}

func segmentName(first uint64) string {
	return fmt.Sprintf("%0*d%s", segmentDigits, first, segmentSuffix)
}

// keyName is that of the file which holds the title of a segment again.
func keyName(first uint64) string {
	return strings.TrimSuffix(segmentName(first), segmentSuffix) + keySuffix
}

// listSegments gives the first sequence numbers of the segments in dir, in
// order.
func listSegments(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var firsts []uint64
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		if !ok || len(digits) != segmentDigits {
			continue
		}
		if first, err := strconv.ParseUint(digits, 10, 64); err == nil && first > 0 {
			firsts = append(firsts, first)
		}
	}
	slices.Sort(firsts)
	return firsts, nil
}

// title is the first line of a segment; key is nil in a log that doesn't seal.
func title(id string, key []byte) []byte {
	line := plainTitle + strconv.Quote(id)
	if key != nil {
		line = keyedTitle + strconv.Quote(id) + " " + base64.RawStdEncoding.EncodeToString(key)
	}
	return fmt.Appendf(nil, "%s %08x\n", line, crc32.Checksum([]byte(line), castagnoli))
}

// readTitle reads the first line of a segment. The zero heading: no whole one
// stands there.
func readTitle(r io.ReaderAt) (heading, error) {
	buf := make([]byte, maxTitle)
	n, err := r.ReadAt(buf, 0)
	if err != nil && err != io.EOF {
		return heading{}, err
	}
	line, _, _ := strings.Cut(string(buf[:n]), "\n")
	rest, keyed := strings.CutPrefix(line, keyedTitle)
	if !keyed {
		rest, _ = strings.CutPrefix(line, plainTitle)
	}
	quoted, err := strconv.QuotedPrefix(rest)
	if err != nil {
		return heading{}, nil
	}
	var h heading
	if h.id, err = strconv.Unquote(quoted); err != nil {
		return heading{}, nil
	}
	if keyed {
		text, _, _ := strings.Cut(strings.TrimPrefix(rest[len(quoted):], " "), " ")
		if h.key, err = base64.RawStdEncoding.DecodeString(text); err != nil {
			return heading{}, nil
		}
	}
	whole := title(h.id, h.key)
	if h.size = int64(len(whole)); n < len(whole) || string(buf[:len(whole)]) != string(whole) {
		return heading{}, nil
	}
	return h, nil
}

// fileTitle is readTitle of a file.
func fileTitle(path string) (heading, error) {
	f, err := os.Open(path)
	if err != nil {
		return heading{}, err
	}
	h, err := readTitle(f)
	return h, errors.Join(err, f.Close())
}

// segmentTitle reads the title of a segment; where that is damaged, its id and
// key come from the other file that has them.
func segmentTitle(dir string, f *os.File, first uint64) (heading, error) {
	h, err := readTitle(f)
	if err != nil || h.id != "" {
		return h, err
	}
	again, err := fileTitle(filepath.Join(dir, keyName(first)))
	if errors.Is(err, os.ErrNotExist) {
		return h, nil
	}
	again.size = 0
	return again, err
}

// logID gives the id of the log in dir: that of its newest segment with a whole
// title or, if none has one, that of the lock file.
func logID(dir string, firsts []uint64) (string, error) {
	for _, first := range slices.Backward(firsts) {
		if h, err := fileTitle(filepath.Join(dir, segmentName(first))); err != nil || h.id != "" {
			return h.id, err
		}
	}
	h, err := fileTitle(filepath.Join(dir, lockName))
	if err == nil && h.id == "" {
		err = fmt.Errorf("no file in %s tells the log's id: move them away to begin another log", dir)
	}
	return h.id, err
}
