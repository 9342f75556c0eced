package sites

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
)

func (t *site) owns(key string) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.foreign[key]
}

// own records, durably and before the change, that a key belongs to an S3 client.
func (t *site) own(key string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.touched != nil {
		t.touched[key] = true
	}
	if t.foreign[key] {
		return nil
	}
	line, err := json.Marshal(key)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(t.files.foreign(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	t.foreign[key] = true
	return nil
}

func (t *site) beginTouch() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.touched = map[string]bool{}
}

func (t *site) endTouch() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.touched = nil
}

// remainingForeign are the foreign keys that remain after a deployment has placed its
// own. These are the keys that it did not place, and the keys that S3 clients
// changed meanwhile; for the latter the bucket's present content counts. The
// caller holds t.mu.
func (t *site) remainingForeign(placed index) map[string]bool {
	next := map[string]bool{}
	for key := range t.foreign {
		if _, ours := placed[key]; !ours || t.touched[key] {
			next[key] = true
		}
	}
	return next
}

// saveForeign rewrites the file of keys that belong to S3 clients. The caller
// holds t.mu.
func (t *site) saveForeign() error {
	var lines bytes.Buffer
	for key := range t.foreign {
		line, err := json.Marshal(key)
		if err != nil {
			return err
		}
		lines.Write(append(line, '\n'))
	}
	return replaceFile(t.files.foreign(), lines.Bytes())
}
