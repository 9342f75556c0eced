package fleet

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"

	"showrunner/artifact"
	"showrunner/cloud/driver"
	"showrunner/internal/checksum"
	"showrunner/internal/filelock"
	"showrunner/pipeline"
	"showrunner/problem"
)

const (
	// keysKept is how many idempotency keys a region remembers, the newest. The
	// control plane's journal remembers keys longer. A region sees a key again
	// only for a change that was running when a control plane died, and those are
	// few.
	keysKept  = 512
	stateForm = 2 // form 1 had artifact and command in the spec itself, and no application
)

// document is the state that survives a killed region. It is replaced as a whole:
// values inside a saved document are never changed.
type document struct {
	Form          int                            `json:"form"`
	Mark          string                         `json:"mark"` // in the environment of every process of this fleet
	Sequences     map[string]int                 `json:"sequences"`
	Groups        map[string]record              `json:"groups"`
	Keys          map[string]keyRecord           `json:"keys"`
	LoadBalancers map[string]driver.LoadBalancer `json:"loadBalancers,omitempty"`
	DownZones     map[string]time.Time           `json:"downZones"` // since when
	Faults        map[string]driver.ActiveFault  `json:"faults,omitempty"`
}

// record is one server group's durable part.
type record struct {
	Spec driver.ServerGroupSpec `json:"spec"` // without its environment
	Env  string                 `json:"env"`  // encrypted, since it may hold secrets
	// Copies counts the artifacts that the group ran before this one: each has a folder of its own.
	Copies   int               `json:"copies,omitempty"`
	Capacity pipeline.Capacity `json:"capacity"`
	Weight   float64           `json:"weight"`
	Created  time.Time         `json:"created"`
	// TrafficUntil is when the weight last became 0.
	TrafficUntil time.Time `json:"trafficUntil,omitzero"`
	Order        uint64    `json:"order"` // order of creation, for groups created at the same time
	Suspended    []string  `json:"suspended,omitempty"`
	Standby      []string  `json:"standby,omitempty"` // instances in standby, by which the desired capacity is lowered
	Destroying   bool      `json:"destroying,omitempty"`
	// Launched counts the launches of a group whose instances are not replaced (Spec.Once).
	Launched int `json:"launched,omitempty"`
	// FailingSince is when the first launch after the last successful one failed.
	FailingSince time.Time `json:"failingSince,omitzero"`
}

// keyRecord remembers the result of a change, so that a retry does nothing.
type keyRecord struct {
	Request string    `json:"request"`          // digest of operation and arguments
	Result  *madeOnce `json:"result,omitempty"` // of a creation
	At      time.Time `json:"at"`
}

// madeOnce names the server group that a creation made.
type madeOnce struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
}

func (d document) clone() document {
	d.Sequences, d.Groups = maps.Clone(d.Sequences), maps.Clone(d.Groups)
	d.Keys, d.DownZones = maps.Clone(d.Keys), maps.Clone(d.DownZones)
	d.LoadBalancers = maps.Clone(d.LoadBalancers)
	return d
}

// forget drops the oldest keys beyond the limit. It drops a quarter more than
// necessary, so that it does not sort at each change.
func (d document) forget() {
	if len(d.Keys) <= keysKept {
		return
	}
	byAge := slices.SortedFunc(maps.Keys(d.Keys), func(a, b string) int { return d.Keys[b].At.Compare(d.Keys[a].At) })
	for _, key := range byAge[keysKept*3/4:] {
		delete(d.Keys, key)
	}
}

// folder is the fleet's place on disk:
//
//	state.json  key  lock  groups/<group>/{root, instances/<id>/{output.log, tmp}}
type folder struct {
	path string
	lock *os.File
	key  *age.X25519Identity
}

func openFolder(path string) (*folder, error) {
	const op = "fleet.open"
	if err := os.MkdirAll(filepath.Join(path, "groups"), 0o700); err != nil {
		return nil, problem.Wrap(err, problem.Unavailable, op, "folder %s", path)
	}
	lock, err := filelock.Claim(filepath.Join(path, "lock"))
	if errors.Is(err, filelock.ErrHeld) {
		return nil, problem.Wrap(err, problem.Conflict, op, "another region process uses %s", path).
			WithHelp("stop it, or use another data folder")
	}
	if err != nil {
		return nil, problem.Wrap(err, problem.Unavailable, op, "folder %s", path)
	}
	f := &folder{path: path, lock: lock}
	if f.key, err = f.identity(); err != nil {
		lock.Close()
		return nil, problem.Wrap(err, problem.Internal, op, "key of %s", path)
	}
	return f, nil
}

func (f *folder) close() { f.lock.Close() }

// identity reads the key that encrypts environments at rest; the first call makes
// it.
func (f *folder) identity() (*age.X25519Identity, error) {
	path := filepath.Join(f.path, "key")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		made, err := age.GenerateX25519Identity()
		if err != nil {
			return nil, err
		}
		return made, replaceFile(path, []byte(made.String()+"\n"))
	}
	if err != nil {
		return nil, err
	}
	return age.ParseX25519Identity(strings.TrimSpace(string(text)))
}

func (f *folder) seal(env map[string]string) (string, error) {
	plain, err := json.Marshal(env)
	if err != nil {
		return "", err
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, f.key.Recipient())
	if err != nil {
		return "", err
	}
	if _, err := w.Write(plain); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(sealed.Bytes()), nil
}

func (f *folder) unseal(text string) (map[string]string, error) {
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), f.key)
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var env map[string]string
	return env, json.Unmarshal(plain, &env)
}

func (f *folder) load() (document, error) {
	d := document{Form: stateForm}
	text, err := os.ReadFile(filepath.Join(f.path, "state.json"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.Mark = newID("fleet-")
	case err != nil:
		return d, problem.Wrap(err, problem.Unavailable, "fleet.open", "state of %s", f.path)
	default:
		if text, err = checksum.OpenFile(text); err == nil {
			err = json.Unmarshal(text, &d)
		}
		if err != nil {
			return d, problem.Wrap(err, problem.Internal, "fleet.open", "%s is damaged", filepath.Join(f.path, "state.json")).
				WithHelp("put an undamaged copy of the file in its place, or move the folder away: the region then begins empty, and `showrunner drift --repair` lists and restores its groups")
		}
		if d.Form == 1 {
			if err := takeOver(text, &d); err != nil {
				return d, problem.Wrap(err, problem.Internal, "fleet.open", "state of %s, of form 1, cannot be read", f.path)
			}
		}
		if d.Form != stateForm {
			return d, problem.New(problem.Internal, "fleet.open", "state of %s has form %d; this program knows %d", f.path, d.Form, stateForm).
				WithHelp("start the version that wrote it, or a newer one")
		}
	}
	if d.Sequences == nil {
		d.Sequences = map[string]int{}
	}
	if d.Groups == nil {
		d.Groups = map[string]record{}
	}
	if d.Keys == nil {
		d.Keys = map[string]keyRecord{}
	}
	if d.DownZones == nil {
		d.DownZones = map[string]time.Time{}
	}
	return d, nil
}

// takeOver completes a document that was read from a state of form 1.
func takeOver(text []byte, d *document) error {
	var old struct {
		Groups map[string]struct {
			Spec struct {
				Artifact artifact.Ref `json:"artifact"`
				Command  []string     `json:"command"`
			} `json:"spec"`
		} `json:"groups"`
	}
	if err := json.Unmarshal(text, &old); err != nil {
		return err
	}
	for name, r := range d.Groups {
		was := old.Groups[name].Spec
		r.Spec.Workload = driver.Workload{Process: &driver.Process{Artifact: was.Artifact, Command: was.Command}}
		r.Spec.Application = driver.ApplicationOf(r.Spec)
		d.Groups[name] = r
	}
	d.Form = stateForm
	return nil
}

func (f *folder) save(d document) error {
	text, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(f.path, "state.json"), checksum.SealFile(text))
}

// replaceFile replaces a file completely and durably, or leaves the old one.
func replaceFile(path string, text []byte) error {
	temp, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = temp.Write(text); err == nil {
		err = temp.Sync()
	}
	if e := temp.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

func (f *folder) group(name string) string { return filepath.Join(f.path, "groups", name) }

// root is where the group's artifact is, the copies-th that it runs.
func (f *folder) root(group string, copies int) string {
	name := "root"
	if copies > 0 {
		name += "." + strconv.Itoa(copies)
	}
	return filepath.Join(f.group(group), name)
}

func (f *folder) instance(group, id string) string {
	return filepath.Join(f.group(group), "instances", id)
}
