package caller

import (
	"io"
	"net"
	"os"
	"os/exec"
	"testing"
)

// TestMain is also the program that a test starts as an instance: it connects to an
// address and stays until its input ends.
func TestMain(m *testing.M) {
	if at := os.Getenv("CALLER_TEST_CONNECT"); at != "" {
		conn, err := net.Dial("tcp", at)
		if err != nil {
			os.Exit(1)
		}
		defer conn.Close()
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	}
	os.Exit(m.Run())
}

// TestFind: a connection is traced to the instance that opened it, over IPv4 and IPv6,
// and one of another program to nobody.
func TestFind(t *testing.T) {
	t.Parallel()
	if !Supported {
		t.Skip("connections are traced in /proc")
	}
	f := NewFinder()
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Log(err) // a system without IPv6
			continue
		}
		defer l.Close()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "CALLER_TEST_CONNECT="+l.Addr().String(), "SHOWRUNNER_INSTANCE=i-1", "SHOWRUNNER_SERVER_GROUP=shop-web-v003")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		theirs, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		got := f.Find(theirs.RemoteAddr().String())
		if got.ID != "i-1" || !got.Of("shop-web") || !got.Of("shop-web-v003") || got.Of("shop") || got.Of("shop-web-v004") {
			t.Errorf("%s: %+v", address, got)
		}
		ours, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Accept(); err != nil {
			t.Fatal(err)
		}
		if got := f.Find(ours.LocalAddr().String()); got != (Instance{}) {
			t.Errorf("our own connection is %+v's", got)
		}
		in.Close()
		_ = cmd.Wait()
		ours.Close()
	}
}
