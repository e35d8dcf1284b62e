package event

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Cut is a torn end that was cut off when the log was opened: what stood behind
// the last whole event. It is kept in a file, as long as events are.
type Cut struct {
	File  string
	After uint64 // the last whole event
	At    time.Time
	Bytes int64
}

// String says it for people.
func (c Cut) String() string {
	return fmt.Sprintf("%d bytes after event %d were no whole event when the log was opened at %s, and are kept in %s",
		c.Bytes, c.After, c.At.UTC().Format(time.RFC3339), c.File)
}

const cutMark = ".cut-"

// cutName is where what is cut off a segment is kept.
func cutName(segment string, after uint64, at time.Time) string {
	return fmt.Sprintf("%s%s%d-%d", segment, cutMark, after, at.UnixMilli())
}

// Cuts gives what was cut off the log in dir, oldest segment first.
func Cuts(dir string) ([]Cut, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix+cutMark+"*"))
	if err != nil {
		return nil, err
	}
	var cuts []Cut
	for _, file := range files {
		_, name, _ := strings.Cut(filepath.Base(file), cutMark)
		after, at, _ := strings.Cut(name, "-")
		seq, err1 := strconv.ParseUint(after, 10, 64)
		ms, err2 := strconv.ParseInt(at, 10, 64)
		info, err := os.Stat(file)
		if err1 != nil || err2 != nil || err != nil { // none of ours, or just deleted
			continue
		}
		cuts = append(cuts, Cut{File: file, After: seq, At: time.UnixMilli(ms), Bytes: info.Size()})
	}
	return cuts, nil
}
