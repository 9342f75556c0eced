package objectstore

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"
)

func open(t *testing.T, config Config) *Store {
	t.Helper()
	s, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
		<-s.Done()
	})
	return s
}

func TestATakenPortIsGivenUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := open(t, Config{Dir: filepath.Join(t.TempDir(), "s3"), Region: "us-west-2", Listen: l.Addr().String(),
		Credentials: Credentials{AccessKey: "AKIATEST", SecretKey: "secret"}})
	if s.Address() == l.Addr().String() {
		t.Error("it claims to listen on an address of another process")
	}
	conn, err := net.Dial("tcp", s.Address())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
