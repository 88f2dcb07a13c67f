package main

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Builds that nobody used for this long are removed. Other working copies may use other versions meanwhile.
const keepUnused = 24 * time.Hour

// cacheRoot is the folder that holds one folder per set of versions.
func cacheRoot() (string, error) {
	if root := os.Getenv("WEIR_TEST_CACHE"); root != "" {
		return filepath.Abs(root)
	}
	user, err := os.UserCacheDir()
	return filepath.Join(user, "weir-tests"), err
}

// versions names what go.mod and go.sum ask for.
func versions(module string) (string, error) {
	hash := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return "", err
		}
		hash.Write(text)
	}
	return hex.EncodeToString(hash.Sum(nil))[:16], nil
}

// lock waits until no other process builds into root; the lock ends with the file.
func lock(root string) (*os.File, error) {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, err
	}
	file, err := os.Create(filepath.Join(root, "lock"))
	if err != nil {
		return nil, err
	}
	return file, syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
}

// prune removes the folders of root that were not used lately, and marks used as used now.
func prune(root, used string, now time.Time) error {
	if err := os.Chtimes(filepath.Join(root, used), now, now); err != nil {
		return err
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if entry.IsDir() && now.Sub(info.ModTime()) > keepUnused {
			if err := os.RemoveAll(filepath.Join(root, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
