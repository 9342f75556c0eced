package sites

import "sync/atomic"

// Watcher hears from the object storage what S3 clients change. It exists
// before the sites do, because the storage does.
type Watcher struct{ sites atomic.Pointer[Sites] }

// NewWatcher makes a watcher that hears nothing until Open attaches it.
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
		return // no site of ours
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
