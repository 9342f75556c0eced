package sites

import "sync/atomic"

// Watcher is notified by the object storage of changes by S3 clients. It is made
// before the sites, because the storage needs it first.
type Watcher struct{ sites atomic.Pointer[Sites] }

// NewWatcher makes a watcher that ignores changes until Open attaches it.
func NewWatcher() *Watcher { return &Watcher{} }

func (w *Watcher) attach(s *Sites) { w.sites.Store(s) }

// ObjectChanges implements objectstore.Watcher.
func (w *Watcher) ObjectChanges(bucket, key string) {
	s := w.sites.Load()
	if s == nil {
		return
	}
	t, err := s.site(bucket, false)
	if err != nil {
		return // not one of our sites
	}
	if err := t.own(key); err != nil {
		s.config.Log.Error("remembering a change by an S3 client", "bucket", bucket, "key", key, "error", err)
	}
}

// BucketChanges implements objectstore.Watcher.
func (w *Watcher) BucketChanges(bucket string) {
	if s := w.sites.Load(); s != nil {
		s.forgetPlain(bucket)
	}
}
