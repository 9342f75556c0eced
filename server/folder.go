package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"showrunner/problem"
	"showrunner/store/record"
)

// Control planes that share a database share a folder too: artifacts, logs, build
// caches, keys. A folder has a name of its own, and the database knows the one
// that is in use, so that a replica with another folder is refused instead of
// failing stage by stage. The name of a data folder tells whose builds are whose.

const folderFile = "folder.id"

type folderRecord struct {
	ID string `json:"id"`
}

// folderID reads a folder's name, and gives it one when it has none.
func folderID(data string) (string, error) {
	name := filepath.Join(data, folderFile)
	raw, err := os.ReadFile(name)
	if err == nil && len(raw) > 0 {
		return strings.TrimSpace(string(raw)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", problem.Wrap(err, problem.Precondition, "control", "reading %s", name)
	}
	f, err := os.CreateTemp(data, ".folder-*")
	if err != nil {
		return "", problem.Wrap(err, problem.Precondition, "control", "writing %s", name)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(rand.Text() + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		// Link, not rename: of two starts at once the first one's name stays.
		if err = os.Link(f.Name(), name); err == nil || errors.Is(err, fs.ErrExist) {
			return folderID(data)
		}
	}
	return "", problem.Wrap(err, problem.Precondition, "control", "writing %s", name)
}

// claimFolder writes down that the database's files are in this folder. While
// another control plane lives, that cannot change. Errors: precondition.
func (c *controlPlane) claimFolder(ctx context.Context) error {
	id, err := folderID(c.Shared)
	if err != nil {
		return err
	}
	for range 10 {
		r, kept, err := c.folder(ctx)
		if err != nil || kept.ID == id {
			return err
		}
		if kept.ID != "" {
			peers, err := c.store.Peers(ctx)
			if err != nil {
				return err
			}
			if peers > 0 {
				return c.otherFolder()
			}
		}
		data, err := json.Marshal(folderRecord{id})
		if err != nil {
			return problem.Wrap(err, problem.Internal, "control", "encoding")
		}
		_, err = c.store.PutRecord(ctx, record.Record{Collection: "control", Key: "folder", Version: r.Version, Data: data})
		if problem.CodeOf(err) != problem.Conflict {
			return err
		}
	}
	return c.otherFolder()
}

// keepFolder looks again once this control plane can be seen by others: of two
// that started at once with different folders, one has to go.
func (c *controlPlane) keepFolder(ctx context.Context) error {
	select {
	case <-c.engine.Ready():
	case <-ctx.Done():
		return nil
	}
	id, err := folderID(c.Shared)
	if err != nil {
		return err
	}
	if _, kept, err := c.folder(ctx); err == nil && kept.ID != id {
		return c.otherFolder()
	}
	return nil
}

func (c *controlPlane) folder(ctx context.Context) (record.Record, folderRecord, error) {
	var kept folderRecord
	r, err := c.store.GetRecord(ctx, "control", "folder")
	if problem.CodeOf(err) == problem.NotFound {
		return record.Record{}, kept, nil
	}
	if err == nil {
		err = json.Unmarshal(r.Data, &kept)
	}
	return r, kept, err
}

func (c *controlPlane) otherFolder() error {
	return problem.New(problem.Precondition, "control", "the control planes of this database keep artifacts and logs in another folder than %s", c.Shared).
		WithHelp("Give all of them the same --data on one machine, or the same --shared on a file system that the machines share. To move to this folder, stop the others first.")
}
