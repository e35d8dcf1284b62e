package vault

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// replaceFile puts text in the place of a file, whole or not at all, and for
// the owner of like if that is given: root may rotate what the server reads.
func replaceFile(path string, text []byte, like fs.FileInfo) error {
	temp, err := writeTemp(path, text, like)
	if err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncDir(filepath.Dir(path))
}

// writeTemp writes text to the disk in a new file of mode 0600 beside path.
func writeTemp(path string, text []byte, like fs.FileInfo) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".vault-*") // mode 0600
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(text)
	if err == nil && like != nil {
		err = giveTo(f, like)
	}
	if err == nil {
		err = f.Sync()
	}
	return f.Name(), errors.Join(err, f.Close())
}

// giveTo makes a file belong to the owner of another.
func giveTo(f *os.File, like fs.FileInfo) error {
	sys, ok := like.Sys().(*syscall.Stat_t)
	if !ok || int(sys.Uid) == os.Geteuid() {
		return nil
	}
	return f.Chown(int(sys.Uid), int(sys.Gid))
}

// syncDir makes a new name in a folder survive the machine.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// lock keeps other processes from rotating a keyset at the same time: both
// would add a key to the same old keyset, and one key would be lost with what
// had been sealed under it. Who waited finds the file replaced and locks the
// new one.
func lock(path string) (unlock func(), err error) {
	for {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		locked, err1 := f.Stat()
		there, err2 := os.Stat(path)
		if err := errors.Join(err1, err2); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if os.SameFile(locked, there) {
			return func() { f.Close() }, nil
		}
		f.Close()
	}
}
