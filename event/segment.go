package event

import (
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
// with the CRC-32C of what stands before it. Records follow.
const (
	segmentSuffix = ".log"
	segmentDigits = 16
	titleStart    = "bugle events 1 "
	maxTitle      = 1024
)

func segmentName(first uint64) string {
	return fmt.Sprintf("%0*d%s", segmentDigits, first, segmentSuffix)
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

// title is the first line of a segment.
func title(id string) []byte {
	line := titleStart + strconv.Quote(id)
	return fmt.Appendf(nil, "%s %08x\n", line, crc32.Checksum([]byte(line), castagnoli))
}

// readTitle gives the id in the first line of a segment and the line's length;
// "" and 0 if no whole line stands there.
func readTitle(r io.ReaderAt) (id string, size int64, err error) {
	buf := make([]byte, maxTitle)
	n, err := r.ReadAt(buf, 0)
	if err != nil && err != io.EOF {
		return "", 0, err
	}
	line, _, _ := strings.Cut(string(buf[:n]), "\n")
	quoted, ok := strings.CutPrefix(line, titleStart)
	if !ok || len(quoted) < 9 {
		return "", 0, nil
	}
	id, err = strconv.Unquote(quoted[:len(quoted)-9])
	if whole := title(id); err == nil && n >= len(whole) && string(buf[:len(whole)]) == string(whole) {
		return id, int64(len(whole)), nil
	}
	return "", 0, nil
}

// logID gives the id of the log in dir: that of its newest segment with a whole
// title or, if none has one, that of the lock file.
func logID(dir string, firsts []uint64) (string, error) {
	for _, first := range slices.Backward(firsts) {
		if id, err := fileID(filepath.Join(dir, segmentName(first))); err != nil || id != "" {
			return id, err
		}
	}
	id, err := fileID(filepath.Join(dir, lockName))
	if err == nil && id == "" {
		err = fmt.Errorf("no file in %s tells the log's id: move them away to begin another log", dir)
	}
	return id, err
}

// fileID gives the id in a file's title, "" if it has none.
func fileID(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	id, _, err := readTitle(f)
	return id, errors.Join(err, f.Close())
}
