package notification

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"

	"showrunner/pipeline"
	"showrunner/problem"
)

// email sends each event as a mail. All mails of a run refer to one message, so that
// readers show them as one thread.
type email struct {
	pipeline.EmailChannel
	client Client
	secret string // the user's password
}

func (e *email) edits() bool { return false }

func (e *email) send(ctx context.Context, l letter) (Posted, error) {
	const op = "notification.email"
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	content, from, to, err := e.content(l)
	if err != nil {
		return Posted{}, err
	}
	c, err := e.connect(ctx)
	if err != nil {
		return Posted{}, e.refusal(op, err)
	}
	defer c.Close()
	for _, act := range []func() error{
		func() error { return c.Mail(from) },
		func() error {
			for _, t := range to {
				if err := c.Rcpt(t); err != nil {
					return err
				}
			}
			return nil
		},
		func() error {
			w, err := c.Data()
			if err != nil {
				return err
			}
			if _, err := w.Write(content); err != nil {
				return err
			}
			return w.Close()
		},
	} {
		if err := act(); err != nil {
			return Posted{}, e.refusal(op, err)
		}
	}
	_ = c.Quit() // the server has taken the mail
	return Posted{ID: e.messageID(l.ID)}, nil
}

// connect reaches the server, encrypted as configured, and signs in.
func (e *email) connect(ctx context.Context) (_ *smtp.Client, err error) {
	host, _, err := net.SplitHostPort(e.Server)
	if err != nil {
		return nil, err
	}
	conn, err := e.client.Dial(ctx, "tcp", e.Server)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			conn.Close()
		}
	}()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	config := &tls.Config{ServerName: host, RootCAs: e.client.Roots, MinVersion: tls.VersionTLS12}
	if e.TLS == "implicit" {
		secured := tls.Client(conn, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		conn = secured
	}
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return nil, err
	}
	if e.TLS != "implicit" && e.TLS != "none" {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return nil, problem.New(problem.Precondition, "notification.email", "the server %s does not offer STARTTLS, and the mail is not sent unencrypted", e.Server).
				WithHelp("set tls: implicit (usually port 465), or tls: none for a server that you reach by a safe way")
		}
		if err := c.StartTLS(config); err != nil {
			return nil, err
		}
	}
	if e.User != "" {
		if err := c.Auth(smtp.PlainAuth("", e.User, e.secret, host)); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// refusal classifies an error: 4yz answers and lost connections pass, 5yz do not. No text
// holds the password, not even one that a server sends back.
func (e *email) refusal(op string, err error) error {
	if p, ok := problem.Of(err); ok {
		return p
	}
	var answer *textproto.Error
	if errors.As(err, &answer) {
		code := problem.Unavailable
		if answer.Code >= 500 {
			code = problem.Precondition
		}
		text := answer.Msg
		if e.secret != "" {
			for _, form := range []string{e.secret, base64.StdEncoding.EncodeToString([]byte(e.secret)), base64.StdEncoding.EncodeToString([]byte("\x00" + e.User + "\x00" + e.secret))} {
				text = strings.ReplaceAll(text, form, "***")
			}
		}
		return problem.New(code, op, "the server %s answered %d %s", e.Server, answer.Code, plain(text))
	}
	var unknown *tls.CertificateVerificationError
	if errors.As(err, &unknown) {
		return problem.New(problem.Precondition, op, "the certificate of the server %s is not valid: %v", e.Server, unknown.Err)
	}
	return problem.New(problem.Unavailable, op, "the server %s does not answer: %v", e.Server, err)
}

// messageID is the Message-ID of a letter. It is the same when the letter is sent again,
// so that mail systems drop the second copy.
func (e *email) messageID(id string) string {
	host := "showrunner.invalid"
	if a, err := mail.ParseAddress(e.From); err == nil {
		if _, domain, ok := strings.Cut(a.Address, "@"); ok && domain != "" {
			host = domain
		}
	}
	return "<" + strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-' || r == '.' {
			return r
		}
		return '.'
	}, id) + "@" + host + ">"
}

// content is the mail, and the bare addresses of its envelope.
func (e *email) content(l letter) (content []byte, from string, to []string, err error) {
	const op = "notification.email"
	sender, err := mail.ParseAddress(e.From)
	if err != nil {
		return nil, "", nil, problem.New(problem.Precondition, op, "the address of the sender cannot be read")
	}
	var shown []string
	for _, t := range e.To {
		a, err := mail.ParseAddress(t)
		if err != nil {
			return nil, "", nil, problem.New(problem.Precondition, op, "an address of a receiver cannot be read")
		}
		to, shown = append(to, a.Address), append(shown, a.String())
	}
	var b bytes.Buffer
	header := func(name, value string) { fmt.Fprintf(&b, "%s: %s\r\n", name, value) }
	header("From", sender.String())
	header("To", strings.Join(shown, ",\r\n "))
	header("Subject", mime.QEncoding.Encode("utf-8", l.Message.Title))
	header("Date", l.At.Format(time.RFC1123Z))
	header("Message-ID", e.messageID(l.ID))
	root := e.messageID(l.Thread)
	header("In-Reply-To", root)
	header("References", root)
	header("Auto-Submitted", "auto-generated")
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "base64")
	b.WriteString("\r\n")
	text := base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(l.Message.text(), "\n", "\r\n") + "\r\n"))
	for len(text) > 76 {
		b.WriteString(text[:76] + "\r\n")
		text = text[76:]
	}
	b.WriteString(text + "\r\n")
	return b.Bytes(), sender.Address, to, nil
}
