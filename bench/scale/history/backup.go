package history

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"showrunner/store"
)

// backups takes a backup of a control plane during deliveries, restores it into
// both databases, and compares every row.
func (o options) backups(ctx context.Context, p place) error {
	c, err := o.start(ctx, p)
	if err != nil {
		return err
	}
	if err := c.apply(ctx, quick); err != nil {
		return err
	}
	name := filepath.Join(o.dir, p.kind+".backup")
	defer os.Remove(name)
	var before *delivered
	var took time.Duration
	during, err := c.deliver(ctx, func() (err error) {
		if before, err = c.deliver(ctx, func() error { pause(3 * time.Second); return nil }); err != nil {
			return err
		}
		began := time.Now()
		err = c.save(ctx, name)
		took = time.Since(began)
		return err
	})
	if err = errors.Join(err, c.stop()); err != nil {
		return err
	}
	want, err := digestFile(name, before.ids)
	if err != nil {
		return err
	}
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	fmt.Printf("%s: without a backup: %s\n", p.kind, before)
	fmt.Printf("%s: backup under load: %.2f GB, %d rows in %s; %s\n", p.kind, float64(info.Size())/(1<<30), want.rows, took.Round(100*time.Millisecond), during)
	o.must(during.longest < time.Second, "%s: deliveries stood still for %s during the backup", p.kind, during.longest)
	for _, into := range o.into {
		if err := o.restores(ctx, p.kind, into, name, want); err != nil {
			return err
		}
	}
	return nil
}

// save has the command line write a backup.
func (c *plane) save(ctx context.Context, name string) error {
	if out, err := exec.CommandContext(ctx, c.binary, "backup", name, "--server", "http://"+c.listen, "--token", token).CombinedOutput(); err != nil {
		return fmt.Errorf("backup: %w: %s", err, out)
	}
	return nil
}

func (o options) restores(ctx context.Context, from, into, name string, want *digest) error {
	p, err := o.place(ctx, into, "restored-"+from+"-"+into)
	if err != nil {
		return err
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	began := time.Now()
	if err := store.Restore(ctx, p.address, f, store.Options{}); err != nil {
		return fmt.Errorf("restoring into %s: %w", into, err)
	}
	took := time.Since(began)
	s, err := store.Open(ctx, p.address, store.Options{})
	if err != nil {
		return err
	}
	got := newDigest(nil)
	if err := errors.Join(s.Backup(ctx, got), s.Close()); err != nil {
		return err
	}
	fmt.Printf("  %s restored into %s in %s: %d rows, the same: %t\n", from, into, took.Round(100*time.Millisecond), got.rows, got.sum() == want.sum())
	o.must(got.sum() == want.sum() && got.rows == want.rows, "%s restored into %s is not what was backed up", from, into)
	o.must(took < 10*time.Minute, "%s restored into %s took %s", from, into, took)
	return o.remove(ctx, p)
}

// digest is the content of a backup, except the time of the backup and the
// owners.
type digest struct {
	hash hash.Hash
	rows int
	rest []byte
	want map[string]bool // executions that have to exist
}

func newDigest(ids []string) *digest {
	d := &digest{hash: sha256.New(), want: map[string]bool{}}
	for _, id := range ids {
		d.want[id] = true
	}
	return d
}

func (d *digest) sum() string { return hex.EncodeToString(d.hash.Sum(nil)[:8]) }

// Write implements io.Writer.
func (d *digest) Write(b []byte) (int, error) {
	d.rest = append(d.rest, b...)
	for {
		i := bytes.IndexByte(d.rest, '\n')
		if i < 0 {
			return len(b), nil
		}
		if err := d.line(d.rest[:i]); err != nil {
			return 0, err
		}
		d.rest = d.rest[i+1:]
	}
}

func (d *digest) line(line []byte) error {
	if bytes.HasPrefix(line, []byte(`{"showrunner"`)) {
		return nil
	}
	d.rows++
	if at := bytes.LastIndex(line, []byte(`,"c":"`)); at > 0 {
		line = append(line[:at:at], '}') // without the checksum, which also covers the preceding lines
	}
	if bytes.HasPrefix(line, []byte(`{"t":"execution"`)) {
		var one struct {
			R []json.RawMessage `json:"r"`
		}
		if err := json.Unmarshal(line, &one); err != nil {
			return err
		}
		var id string
		if err := json.Unmarshal(one.R[1], &id); err != nil {
			return err
		}
		delete(d.want, id)
		one.R[8] = json.RawMessage(`""`)
		var err error
		if line, err = json.Marshal(one); err != nil {
			return err
		}
	}
	d.hash.Write(line)
	d.hash.Write([]byte{10})
	return nil
}

func digestFile(name string, ids []string) (*digest, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d := newDigest(ids)
	if _, err := io.Copy(d, bufio.NewReaderSize(f, 1<<20)); err != nil {
		return nil, err
	}
	if len(d.want) > 0 {
		return nil, fmt.Errorf("the backup misses %d executions that had been acknowledged before it began", len(d.want))
	}
	return d, nil
}
