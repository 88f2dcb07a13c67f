package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestPruneRemovesOnlyWhatNobodyUsedLately(t *testing.T) {
	root := t.TempDir()
	now := time.Now()
	for name, age := range map[string]time.Duration{"old": 2 * keepUnused, "young": keepUnused / 2, "used": 2 * keepUnused} {
		path := filepath.Join(root, name)
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := prune(root, "used", now); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"old": false, "young": true, "used": true} {
		if _, err := os.Stat(filepath.Join(root, name)); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", name, err == nil, want)
		}
	}
}

func TestVersionsChangeWithTheModule(t *testing.T) {
	module := t.TempDir()
	write := func(name, text string) string {
		if err := os.WriteFile(filepath.Join(module, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		version, _ := versions(module)
		return version
	}
	write("go.mod", "module a")
	first := write("go.sum", "sums of a")
	if again := write("go.sum", "sums of a"); again != first {
		t.Errorf("the same module has the versions %s and %s", first, again)
	}
	if other := write("go.sum", "sums of b"); other == first || other == "" {
		t.Errorf("a module with other sums has the version %q", other)
	}
}
