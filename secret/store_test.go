package secret

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"
	"pgregory.net/rapid"

	"showrunner/problem"
	"showrunner/store/record"
	"showrunner/store/record/recordtest"
)

func open(t *testing.T) (*Store, *recordtest.Records, string) {
	t.Helper()
	records := &recordtest.Records{}
	key := filepath.Join(t.TempDir(), "data", "key")
	return New(records, Options{KeyFile: key}), records, key
}

func set(t *testing.T, s *Store, name, value string) {
	t.Helper()
	if err := s.Set(t.Context(), name, []byte(value)); err != nil {
		t.Fatalf("Set(%s): %v", name, err)
	}
}

func TestStoreKeepsValues(t *testing.T) {
	s, records, key := open(t)
	set(t, s, "token", "hunter2")
	set(t, s, "token", "hunter3")
	set(t, s, "binary", "\x00\xff\n")
	again := New(records, Options{KeyFile: key})
	for name, want := range map[string]string{"token": "hunter3", "binary": "\x00\xff\n"} {
		if got, err := again.Resolve(t.Context(), name); err != nil || got != want {
			t.Errorf("Resolve(%s) = %q, %v, want %q", name, got, err, want)
		}
	}
	list, err := again.List(t.Context())
	if err != nil || len(list) != 2 || list[0].Name != "binary" || list[1].Name != "token" || list[1].Updated.IsZero() {
		t.Errorf("List = %+v, %v", list, err)
	}
	if err := again.Delete(t.Context(), "token"); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"Delete":  again.Delete(t.Context(), "token"),
		"Resolve": func() error { _, err := again.Resolve(t.Context(), "token"); return err }(),
	} {
		if problem.CodeOf(err) != problem.NotFound || problem.HelpOf(err) == "" {
			t.Errorf("%s of a deleted secret: %v", what, err)
		}
	}
}

func TestStoreWritesEventsWithTheChange(t *testing.T) {
	s, records, _ := open(t)
	if err := s.Set(t.Context(), "a", []byte("value"), record.Event{Type: "audit.secret.set"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), "a", record.Event{Type: "audit.secret.delete"}); err != nil {
		t.Fatal(err)
	}
	if got := records.Events(); len(got) != 2 || got[0].Type != "audit.secret.set" || got[1].Type != "audit.secret.delete" {
		t.Errorf("events: %+v", got)
	}
}

func TestStoreRefuses(t *testing.T) {
	s, _, _ := open(t)
	for name, value := range map[string]string{
		"": "x", "-a": "x", ".": "x", "/etc": "x", "a b": "x", "a\n": "x", "é": "x", strings.Repeat("a", 129): "x",
		"empty": "", "large": strings.Repeat("x", MaxSize+1),
	} {
		err := s.Set(t.Context(), name, []byte(value))
		if problem.CodeOf(err) != problem.Invalid {
			t.Errorf("Set(%q, %d bytes): %v, want invalid", name, len(value), err)
		}
	}
	set(t, s, "largest", strings.Repeat("x", MaxSize))
	if got, err := s.Resolve(t.Context(), "largest"); err != nil || len(got) != MaxSize {
		t.Errorf("the largest value: %d bytes, %v", len(got), err)
	}
}

func TestKeyFile(t *testing.T) {
	s, records, key := open(t)
	if _, err := s.List(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(key); err == nil {
		t.Error("a key was made before there was anything to encrypt")
	}
	set(t, s, "token", "hunter2")
	info, err := os.Stat(key)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("key file: %v, %v", info, err)
	}
	saved, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}

	refused := func(what string, help string) {
		t.Helper()
		fresh := New(records, Options{KeyFile: key})
		_, resolveErr := fresh.Resolve(t.Context(), "token")
		setErr := fresh.Set(t.Context(), "other", []byte("value"))
		for op, err := range map[string]error{"Resolve": resolveErr, "Set": setErr} {
			if problem.CodeOf(err) != problem.Precondition || !strings.Contains(problem.HelpOf(err), help) {
				t.Errorf("%s: %s: %v (help %q)", what, op, err, problem.HelpOf(err))
			}
			if err != nil && strings.Contains(err.Error(), strings.TrimSpace(string(saved[len(saved)-40:]))) {
				t.Errorf("%s: %s shows the key: %v", what, op, err)
			}
		}
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	refused("missing", "backup")
	if _, err := os.Stat(key); err == nil {
		t.Fatal("a lost key was replaced while ciphertexts exist")
	}
	write := func(data []byte, mode os.FileMode) {
		t.Helper()
		os.Remove(key)
		if err := os.WriteFile(key, data, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(key, mode); err != nil {
			t.Fatal(err)
		}
	}
	write(saved, 0o644)
	refused("readable by others", "chmod 600")
	write(bytes.ToLower(saved[:len(saved)-5]), 0o600)
	refused("damaged", "age-keygen")

	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	write([]byte(other.String()), 0o600)
	if _, err := New(records, Options{KeyFile: key}).Resolve(t.Context(), "token"); problem.CodeOf(err) != problem.Precondition {
		t.Errorf("another key: %v", err)
	}
	// A new first line encrypts from now on; the old key still decrypts.
	write([]byte(other.String()+"\n"+string(saved)), 0o600)
	rotated := New(records, Options{KeyFile: key})
	if got, err := rotated.Resolve(t.Context(), "token"); err != nil || got != "hunter2" {
		t.Errorf("after adding a key: %q, %v", got, err)
	}
	set(t, rotated, "token", "hunter3")
	given := New(records, Options{KeyFile: filepath.Join(t.TempDir(), "none"), Identity: other.String()})
	if got, err := given.Resolve(t.Context(), "token"); err != nil || got != "hunter3" {
		t.Errorf("with the identity given: %q, %v", got, err)
	}
}

func TestTwoProcessesMakeOneKey(t *testing.T) {
	records := &recordtest.Records{}
	key := filepath.Join(t.TempDir(), "key")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if err := New(records, Options{KeyFile: key}).Set(context.Background(), fmt.Sprintf("s%d", i), []byte("value")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	s := New(records, Options{KeyFile: key})
	for i := range 8 {
		if got, err := s.Resolve(t.Context(), fmt.Sprintf("s%d", i)); err != nil || got != "value" {
			t.Errorf("s%d: %q, %v", i, got, err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(key), ".key-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestCiphertextsAreOpaqueAndBoundToTheirName(t *testing.T) {
	s, records, _ := open(t)
	set(t, s, "a", "the-value-of-a")
	set(t, s, "b", "the-value-of-b")
	a, err := records.GetRecord(t.Context(), "secrets", "a")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(a.Data, []byte("the-value")) {
		t.Error("the value is kept in the clear")
	}
	b, err := records.GetRecord(t.Context(), "secrets", "b")
	if err != nil {
		t.Fatal(err)
	}
	b.Data = a.Data
	if _, err := records.PutRecord(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Resolve(t.Context(), "b"); problem.CodeOf(err) != problem.Precondition {
		t.Errorf("a's ciphertext under b's name: %q, %v", got, err)
	}
}

type values map[string]string

func (v values) Resolve(_ context.Context, name string) (string, error) {
	value, ok := v[name]
	if !ok {
		return "", problem.New(problem.NotFound, "secret.resolve", "there is no secret named %q", name)
	}
	return value, nil
}

func TestExpand(t *testing.T) {
	known := values{"token": "hunter2", "tricky": "${{ secrets.token }}", "TOKEN_2": "two"}
	for text, tt := range map[string]struct {
		want   string
		masked int
	}{
		"plain":                      {"plain", 0},
		"${{ secrets.token }}":       {"hunter2", 1},
		"Bearer ${{secrets.token}}!": {"Bearer hunter2!", 1},
		"${{ secrets.token }}${{ secrets.TOKEN_2 }}": {"hunter2two", 2},
		"${{ secrets.tricky }}":                      {"${{ secrets.token }}", 1},
	} {
		var masked []string
		e := Expander{Secrets: known, Mask: func(v ...string) { masked = append(masked, v...) }}
		if got, err := e.Expand(t.Context(), text); err != nil || got != tt.want || len(masked) != tt.masked {
			t.Errorf("Expand(%q) = %q, %v (masked %q), want %q", text, got, err, masked, tt.want)
		}
	}
	if _, err := (Expander{Secrets: known}).Expand(t.Context(), "x ${{ secrets.nope }}"); problem.CodeOf(err) != problem.NotFound {
		t.Errorf("unknown: %v", err)
	}
}

// Unsealing returns what was sealed.
func TestSealing(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		in := opened{Name: rapid.StringMatching(`[a-z]{1,9}`).Draw(t, "name"), Value: rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(t, "value")}
		data, err := seal(id.Recipient(), in)
		if err != nil {
			t.Fatal(err)
		}
		out, err := unseal([]age.Identity{id}, data)
		if err != nil || out.Name != in.Name || !bytes.Equal(out.Value, in.Value) {
			t.Fatalf("%+v became %+v, %v", in, out, err)
		}
		var s sealed
		if err := json.Unmarshal(data, &s); err != nil {
			t.Fatal(err)
		}
		s.Ciphertext[rapid.IntRange(0, len(s.Ciphertext)-1).Draw(t, "at")] ^= 1
		if data, err = json.Marshal(s); err != nil {
			t.Fatal(err)
		}
		if _, err := unseal([]age.Identity{id}, data); err == nil {
			t.Fatal("a changed ciphertext was accepted")
		}
	})
}
