package cli_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"showrunner/cli"
	"showrunner/store"
	"showrunner/store/record"
)

// TestRestoreRefusesADamagedBackup flips bytes all over a backup: the command says
// which part is damaged, ends with an error, and makes nothing.
func TestRestoreRefusesADamagedBackup(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if _, err := s.PutRecord(t.Context(), record.Record{Collection: "secret", Key: fmt.Sprint(i), Data: []byte(`{"sealed":"…"}`)}, record.Event{Type: "secret.set"}); err != nil {
			t.Fatal(err)
		}
	}
	var backup bytes.Buffer
	if err := s.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, data := filepath.Join(dir, "backup"), filepath.Join(dir, "data")
	restore := func(content []byte) (code int, said string) {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		code = cli.Main([]string{"restore", file, "--data", data}, cli.Streams{In: strings.NewReader(""), Out: io.Discard, Err: &out,
			Getenv: func(string) string { return "" }, Terminal: func() (int, int, bool) { return 0, 0, false }})
		return code, out.String()
	}
	part := regexp.MustCompile(`line \d+ of the backup|its first line is damaged`)
	for at := 0; at < backup.Len(); at += 7 {
		bad := bytes.Clone(backup.Bytes())
		bad[at] ^= 1 << (at % 8)
		if code, said := restore(bad); code == 0 || !part.MatchString(said) {
			t.Errorf("byte %d: exit code %d: %s", at, code, said)
		}
		if _, err := os.Stat(data); !os.IsNotExist(err) {
			t.Fatalf("byte %d: something was made: %v", at, err)
		}
	}
	if code, said := restore(backup.Bytes()); code != 0 {
		t.Errorf("undamaged: exit code %d: %s", code, said)
	}
}
