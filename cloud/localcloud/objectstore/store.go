package objectstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
	"github.com/versity/versitygw/s3api"

	"showrunner/problem"
)

// Config is the configuration of a Store.
type Config struct {
	Dir         string // absolute; holds buckets, versions, and metadata where the file system has no attributes
	Region      string
	Listen      string // preferred address of the endpoint; a free loopback port when it is empty or taken
	Credentials Credentials
	// Watch is notified of changes by S3 clients. May be nil.
	Watch Watcher
	// Sidecar stores metadata in separate files even where the file system has
	// attributes.
	Sidecar bool
	Log     *slog.Logger
}

// Watcher is notified of changes by S3 clients. Each method is called once before
// a change and once after it.
type Watcher interface {
	ObjectChanges(bucket, key string)
	BucketChanges(bucket string)
}

// Store is a region's object storage.
type Store struct {
	config   Config
	endpoint string // host:port
	backend  *posix.Posix
	meta     meta.MetadataStorer
	onFile   bool // metadata are stored in attributes of the object's own file
	buckets  string
	stop     context.CancelFunc
	done     chan struct{}
	err      error // valid after done is closed
}

// Open starts the endpoint and returns once it listens.
func Open(ctx context.Context, config Config) (*Store, error) {
	const op = "objectstore.open"
	if !filepath.IsAbs(config.Dir) {
		return nil, problem.New(problem.Invalid, op, "the folder %q is not absolute", config.Dir)
	}
	s := &Store{config: config, buckets: filepath.Join(config.Dir, "buckets")}
	if err := s.openMeta(); err != nil {
		return nil, problem.Wrap(err, problem.Internal, op, "preparing %s", config.Dir)
	}
	var err error
	for _, listen := range []string{config.Listen, "", ""} { // a free port may be taken a moment later
		if err = s.start(listen); err == nil {
			return s, nil
		}
	}
	return nil, problem.Wrap(err, problem.Unavailable, op, "starting the object storage of %s", config.Region)
}

// openMeta chooses where metadata are stored: in extended attributes where the
// file system has them, otherwise in a folder beside the buckets.
func (s *Store) openMeta() error {
	for _, dir := range []string{s.buckets, s.versions()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if s.onFile = !s.config.Sidecar && attributesWork(s.config.Dir); s.onFile {
		s.meta = meta.XattrMeta{}
		return nil
	}
	if err := os.MkdirAll(s.sidecar(), 0o700); err != nil {
		return err
	}
	side, err := meta.NewSideCar(s.sidecar())
	s.meta = side
	return err
}

func (s *Store) versions() string { return filepath.Join(s.config.Dir, "versions") }
func (s *Store) sidecar() string  { return filepath.Join(s.config.Dir, "metadata") }

// attributesWork tests with a file in dir, since a file system's reported
// features are not reliable.
func attributesWork(dir string) bool {
	f, err := os.CreateTemp(dir, ".attributes-*")
	if err != nil {
		return false
	}
	defer os.Remove(f.Name())
	defer f.Close()
	return meta.XattrMeta{}.StoreAttribute(f, "", "", "showrunner-try", []byte("1")) == nil
}

// start runs the gateway on listen, or on a free port, until it listens or fails.
func (s *Store) start(listen string) error {
	l, err := net.Listen("tcp", cmpOr(listen, "127.0.0.1:0"))
	if err != nil {
		return err
	}
	// The gateway opens its own listener; this one only found the port.
	s.endpoint = l.Addr().String()
	l.Close()

	opts := posix.PosixOpts{
		VersioningDir:      s.versions(),
		IOBufferSize:       128 << 10,
		ForceNoObjLockFile: true, // this process is the only one that writes here
		// The limit of S3; at zero, nothing could be copied.
		CopyObjectThreshold: 5 << 30,
	}
	opts.SetNewDirPerm(0o700)
	opts.SetNewFilePerm(0o600)
	if !s.onFile {
		opts.SideCarDir = s.sidecar()
	}
	if s.backend, err = posix.New(s.buckets, s.meta, opts); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	listening := make(chan struct{})
	s.stop, s.done = stop, make(chan struct{})
	go func() {
		defer close(s.done)
		root := auth.Account{Access: s.config.Credentials.AccessKey, Secret: s.config.Credentials.SecretKey, Role: auth.RoleAdmin}
		s.err = embedgw.RunVersityGW(ctx, watched{s.backend, s.config.Watch}, &embedgw.Config{
			RootUserAccess: root.Access, RootUserSecret: root.Secret, IAMService: auth.NewIAMServiceSingle(root),
			Region: s.config.Region, Ports: []string{s.endpoint},
			MaxConnections: 4096, MaxRequests: 4096, MultipartMaxParts: 10000, KeepAlive: true, Quiet: true,
			S3Options: []s3api.Option{
				s3api.WithOnListen(func() { close(listening) }),
				s3api.WithMiddleware("/", acceptOldLinks(s.config.Region, s.config.Credentials, time.Now)),
			},
		})
	}()
	select {
	case <-listening:
		return nil
	case <-s.done:
		stop()
		return fmt.Errorf("the S3 gateway on %s: %w", s.endpoint, cmpErr(s.err, errors.New("it ended at once")))
	}
}

// Endpoint is the S3 endpoint's URL.
func (s *Store) Endpoint() string { return "http://" + s.endpoint }

// Address is where the endpoint listens.
func (s *Store) Address() string { return s.endpoint }

// Credentials sign requests to the endpoint.
func (s *Store) Credentials() Credentials { return s.config.Credentials }

// Done is closed when the endpoint has ended, by Close or by a failure.
func (s *Store) Done() <-chan struct{} { return s.done }

// Close stops the endpoint: requests in flight may continue until ctx ends.
func (s *Store) Close(ctx context.Context) error {
	s.stop()
	select {
	case <-s.done:
		return s.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
