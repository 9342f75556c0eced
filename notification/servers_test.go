package notification

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"
)

// slackServer answers the calls of Slack that we make. Answer, when it returns true, has
// answered by itself.
type slackServer struct {
	*httptest.Server
	mu       sync.Mutex
	messages []*slackKept
	calls    []string
	answer   func(n int, method string, w http.ResponseWriter) bool
	changed  chan struct{}
}

type slackKept struct {
	slackMessage
	Edits int
}

func newSlack(t *testing.T) *slackServer {
	s := &slackServer{changed: make(chan struct{}, 1000)}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *slackServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	method := strings.TrimPrefix(r.URL.Path, "/")
	s.calls = append(s.calls, method)
	defer func() { s.changed <- struct{}{} }()
	if r.Header.Get("Authorization") != "Bearer xoxb-secret" {
		fmt.Fprint(w, `{"ok":false,"error":"invalid_auth"}`)
		return
	}
	if s.answer != nil && s.answer(len(s.calls), method, w) {
		return
	}
	var m slackMessage
	if strings.HasPrefix(method, "chat.") {
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	switch method {
	case "chat.postMessage":
		m.Timestamp = fmt.Sprintf("%d.000100", 1700000000+len(s.messages))
		s.messages = append(s.messages, &slackKept{slackMessage: m})
		fmt.Fprintf(w, `{"ok":true,"channel":"C0123456789","ts":%q}`, m.Timestamp)
	case "chat.update":
		for _, k := range s.messages {
			if k.Timestamp == m.Timestamp && m.Channel == "C0123456789" {
				k.slackMessage, k.Edits = m, k.Edits+1
				fmt.Fprintf(w, `{"ok":true,"channel":"C0123456789","ts":%q}`, m.Timestamp)
				return
			}
		}
		fmt.Fprint(w, `{"ok":false,"error":"message_not_found"}`)
	case "conversations.list":
		fmt.Fprint(w, `{"ok":true,"channels":[{"id":"C0123456789","name":"deploys"}]}`)
	case "conversations.history":
		list := []any{}
		for _, k := range s.messages {
			list = append(list, map[string]any{"ts": k.Timestamp, "metadata": k.Metadata})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"ok": true, "messages": list})
	default:
		fmt.Fprint(w, `{"ok":false,"error":"unknown_method"}`)
	}
}

// texts are the messages as they stand, and how often each was edited.
func (s *slackServer) texts() (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.messages {
		list = append(list, m.Text)
	}
	return list
}

// until waits for a state of the messages.
func (s *slackServer) until(t *testing.T, what string, ok func(texts []string) bool) {
	t.Helper()
	limit := time.After(time.Minute)
	for !ok(s.texts()) {
		select {
		case <-s.changed:
		case <-limit:
			t.Fatalf("%s: %q after %v", what, s.texts(), s.calls)
		}
	}
}

// mailServer is a small SMTP server.
type mailServer struct {
	address  string
	roots    *x509.CertPool
	config   *tls.Config
	starttls bool
	refuse   string // of a receiver, in place of 250
	mails    chan keptMail
}

type keptMail struct {
	*mail.Message
	text      string
	user      string
	encrypted bool
	to        []string
}

func newMailServer(t *testing.T, starttls bool) *mailServer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s := &mailServer{roots: x509.NewCertPool(), starttls: starttls, mails: make(chan keptMail, 100),
		config: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}}
	s.roots.AddCert(leaf)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	var all sync.WaitGroup
	t.Cleanup(func() { l.Close(); all.Wait() })
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { s.serve(conn) })
		}
	})
	return s
}

func (s *mailServer) serve(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	in := bufio.NewReader(conn)
	say := func(line string) { fmt.Fprintf(conn, "%s\r\n", line) }
	say("220 test ESMTP")
	var m keptMail
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			say("250-test")
			if s.starttls && !m.encrypted {
				say("250-STARTTLS")
			}
			say("250 AUTH PLAIN")
		case "STARTTLS":
			say("220 go ahead")
			secured := tls.Server(conn, s.config)
			if secured.Handshake() != nil {
				return
			}
			conn, m.encrypted = secured, true
			in = bufio.NewReader(conn)
		case "AUTH":
			raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(rest, "PLAIN "))
			parts := strings.Split(string(raw), "\x00")
			if len(parts) != 3 || parts[2] != "mail-password" {
				say("535 the password " + parts[len(parts)-1] + " is wrong") // some servers do say it back
				continue
			}
			m.user = parts[1]
			say("235 ok")
		case "RCPT":
			if s.refuse != "" {
				say(s.refuse)
				continue
			}
			m.to = append(m.to, rest)
			say("250 ok")
		case "DATA":
			say("354 go on")
			var b strings.Builder
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				b.WriteString(strings.TrimPrefix(line, "."))
			}
			if m.Message, err = mail.ReadMessage(strings.NewReader(b.String())); err != nil {
				say("554 no mail: " + err.Error())
				continue
			}
			text, _ := io.ReadAll(base64.NewDecoder(base64.StdEncoding, m.Body))
			m.text = string(text)
			s.mails <- m
			say("250 ok")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}
