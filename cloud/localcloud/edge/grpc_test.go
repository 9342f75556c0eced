package edge

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// gRPC reaches the region over HTTP/2, both ways at once, with its trailers.
func TestRemoteProcedureCalls(t *testing.T) {
	both := new(http.Protocols)
	both.SetHTTP1(true)
	both.SetUnencryptedHTTP2(true)
	region := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			http.Error(w, "this is "+r.Proto, http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		control := http.NewResponseController(w)
		_ = control.Flush()
		piece := make([]byte, 4)
		for {
			if _, err := io.ReadFull(r.Body, piece); err != nil {
				break
			}
			_, _ = w.Write(piece) // who asked says when it did not arrive
			_ = control.Flush()
		}
		w.Header().Set("Grpc-Status", "10")
	}))
	region.Config.Protocols = both
	region.Start()
	defer region.Close()
	front := before(t, region.Listener.Addr().String())
	alone := new(http.Protocols)
	alone.SetUnencryptedHTTP2(true)
	client := &http.Transport{Protocols: alone}
	defer client.CloseIdleConnections()
	in, out := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+front.address+"/echo", in)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/grpc")
	res, err := client.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(res.Body)
		t.Fatalf("%s: %s", res.Status, text)
	}
	piece := make([]byte, 4)
	for _, say := range []string{"one.", "two.", "more"} {
		if _, err := io.WriteString(out, say); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(res.Body, piece); err != nil || string(piece) != say {
			t.Fatalf("%q came back as %q: %v", say, piece, err)
		}
	}
	out.Close()
	if rest, err := io.ReadAll(res.Body); len(rest) > 0 || err != nil {
		t.Fatalf("at the end %q: %v", rest, err)
	}
	if got := res.Trailer.Get("Grpc-Status"); got != "10" {
		t.Errorf("the status is %q", got)
	}
}
