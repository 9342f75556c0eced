package proxytest

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	evil = "GET /evil HTTP/1.1\r\nHost: " + Host + "\r\nX-Id: evil\r\n\r\n"
	post = "POST /ok HTTP/1.1\r\nHost: " + Host + "\r\nX-Id: one\r\n"
	get  = "GET /ok HTTP/1.1\r\nHost: " + Host + "\r\nX-Id: one\r\n"
)

// desync sends what two readers could understand differently: it is refused, and
// the connection ends, or it arrives as one request.
func desync(t *testing.T, open Open) {
	instance := NewInstance(t)
	address := open(t, instance.Address)
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(evil), evil)
	for name, test := range map[string]struct {
		request string
		arrives bool
	}{
		"CL.TE":                    {post + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + evil, false},
		"TE.CL":                    {post + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + chunked, false},
		"TE.TE":                    {post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n" + evil, false},
		"TE twice":                 {post + "Transfer-Encoding: chunked\r\nTransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + evil, false},
		"TE list":                  {post + "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" + evil, false},
		"TE quoted":                {post + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n" + evil, false},
		"TE with a vertical tab":   {post + "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n" + evil, false},
		"TE folded":                {post + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + evil, false},
		"TE after a lone CR":       {post + "X: y\rTransfer-Encoding: chunked\r\n\r\n" + chunked, false},
		"TE after a lone LF":       {post + "X: y\nTransfer-Encoding: chunked\r\n\r\n" + chunked, false},
		"TE with a space":          {post + "Transfer-Encoding : chunked\r\n\r\n" + chunked, false},
		"TE in HTTP/1.0":           {strings.Replace(post, "HTTP/1.1", "HTTP/1.0", 1) + "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + evil, false},
		"CL twice, different":      {post + "Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello" + evil, false},
		"CL twice, the same":       {post + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello" + evil, false},
		"CL list":                  {post + "Content-Length: 0, 5\r\n\r\nhello" + evil, false},
		"CL signed":                {post + "Content-Length: +0\r\n\r\n" + evil, false},
		"CL negative":              {post + "Content-Length: -1\r\n\r\n" + evil, false},
		"CL hexadecimal":           {post + "Content-Length: 0x0\r\n\r\n" + evil, false},
		"CL too large":             {post + "Content-Length: 18446744073709551616\r\n\r\n" + evil, false},
		"CL empty":                 {post + "Content-Length:\r\n\r\n" + evil, false},
		"CL with a space":          {post + "Content-Length : 0\r\n\r\n" + evil, false},
		"CL folded":                {post + "X: y\r\n Content-Length: 5\r\n\r\n" + evil, false},
		"GET with a body":          {get + fmt.Sprintf("Connection: close\r\nContent-Length: %d\r\n\r\n%s", len(evil), evil), true},
		"POST with a body":         {post + fmt.Sprintf("Connection: close\r\nContent-Length: %d\r\n\r\n%s", len(evil), evil), true},
		"chunks":                   {post + "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked, true},
		"a chunk's extension":      {post + "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b;c\"\r\nhello\r\n0;x\r\n\r\n", true},
		"a length that is removed": {post + fmt.Sprintf("Connection: close, content-length\r\nContent-Length: %d\r\n\r\n%s", len(evil), evil), true},
		"a chunk too long":         {post + "Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n" + evil, false},
		"a chunk's size by LF":     {post + "Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n" + evil, false},
		"a chunk's size with 0x":   {post + "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n" + evil, false},
		"a chunk's size overflows": {post + "Transfer-Encoding: chunked\r\n\r\n100000000000000005\r\nhello\r\n0\r\n\r\n" + evil, false},
		"an extension with a LF":   {post + "Transfer-Encoding: chunked\r\n\r\n2;\nxx\r\n" + chunked, false},
		"a trailer is a length":    {post + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n" + evil, false},
		"a trailer is no field":    {post + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nGET /evil HTTP/1.1\r\n\r\n" + evil, false},
		"a trailer":                {post + "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-A: b\r\n\r\n", true},
		"bare LF":                  {strings.ReplaceAll(get, "\r\n", "\n") + "\n" + evil, false},
		"LF and CR":                {strings.ReplaceAll(get, "\r\n", "\n\r") + "\n\r" + evil, false},
		"a space before a field":   {get[:len(get)-len("X-Id: one\r\n")] + " X-Id: one\r\n\r\n" + evil, false},
		"no colon":                 {get + "X\r\n\r\n" + evil, false},
		"no name":                  {get + ": x\r\n\r\n" + evil, false},
		"NUL":                      {get + "X: a\x00b\r\n\r\n" + evil, false},
		"two hosts":                {get + "Host: x\r\n\r\n" + evil, false},
		"a host with a space":      {"GET /ok HTTP/1.1\r\nHost: " + Host + " x\r\n\r\n" + evil, false},
		"no host":                  {"GET /ok HTTP/1.1\r\nX-Id: one\r\n\r\n" + evil, false},
		"HTTP/0.9":                 {"GET /ok\r\n\r\n" + evil, false},
		"HTTP/1.9":                 {strings.Replace(get, "1.1", "1.9", 1) + "\r\n" + evil, false},
		"two spaces":               {strings.Replace(get, " /ok", "  /ok", 1) + "\r\n" + evil, false},
		"a space in the target":    {strings.Replace(get, "/ok", "/ok x", 1) + "\r\n" + evil, false},
		"a fragment":               {strings.Replace(get, "/ok", "/ok#x", 1) + "\r\n" + evil, false},
		"a whole address":          {strings.Replace(get, "/ok", "http://"+Host+"/ok", 1) + "Connection: close\r\n\r\n", true},
		"another scheme":           {strings.Replace(get, "/ok", "ftp://"+Host+"/ok", 1) + "\r\n" + evil, false},
		"no path":                  {strings.Replace(get, "/ok", "ok", 1) + "\r\n" + evil, false},
		"CONNECT":                  {"CONNECT " + Host + ":80 HTTP/1.1\r\nHost: " + Host + "\r\n\r\n" + evil, false},
		"CONNECT with a length":    {"CONNECT " + Host + ":80 HTTP/1.1\r\nHost: " + Host + fmt.Sprintf("\r\nContent-Length: %d\r\n\r\n%s", len(evil), evil), false},
		"CONNECT with chunks":      {"CONNECT " + Host + ":80 HTTP/1.1\r\nHost: " + Host + "\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked, false},
		"CONNECT to a path":        {"CONNECT /ok HTTP/1.1\r\nHost: " + Host + "\r\n\r\n" + evil, false},
		"another expectation":      {post + fmt.Sprintf("Expect: 200-ok\r\nContent-Length: %d\r\n\r\n%s", len(evil), evil), false},
		"100-continue, unawaited":  {post + fmt.Sprintf("Connection: close\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n%s", len(evil), evil), true},
		"an empty line first":      {"\r\n" + get + "\r\n" + evil, false},
		"a preface that goes on":   {"PRI * HTTP/2.0\r\n\r\n" + evil, false},
		"a preface in HTTP/1.1":    {"PRI * HTTP/1.1\r\nHost: " + Host + "\r\n\r\nSM\r\n\r\n" + evil, false},
		"TLS":                      {"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + evil, false},
	} {
		t.Run(name, func(t *testing.T) {
			instance.Forget()
			c := connect(t, address)
			_, _ = io.WriteString(c, test.request) // it may be refused before the end
			answer, _ := io.ReadAll(c)
			seen := instance.Seen()
			finals := bytes.Count(answer, []byte("HTTP/1.1 ")) - bytes.Count(answer, []byte("HTTP/1.1 100 "))
			switch {
			case test.arrives && (len(seen) != 1 || strings.Contains(seen[0], "evil") || !bytes.Contains(answer, []byte("HTTP/1.1 200 "))),
				!test.arrives && len(seen) > 0,
				!test.arrives && !bytes.HasPrefix(answer, []byte("HTTP/1.1 4")) && !bytes.HasPrefix(answer, []byte("HTTP/1.1 5")),
				finals != 1:
				t.Errorf("arrived %q, answered %.200q", seen, answer)
			}
		})
	}
}

// desyncHTTP2 does the same in HTTP/2, where a request has no lines until it is
// written to an instance.
func desyncHTTP2(t *testing.T, open Open) {
	instance := NewInstance(t)
	address := open(t, instance.Address)
	request := func(more ...string) []string {
		return append([]string{":method", "POST", ":scheme", "http", ":authority", Host, ":path", "/ok", "x-id", "one"}, more...)
	}
	change := func(name, value string) []string {
		fields := request()
		for i := 0; i < len(fields); i += 2 {
			if fields[i] == name {
				fields[i+1] = value
			}
		}
		return fields
	}
	for name, test := range map[string]struct {
		fields  []string
		data    string
		arrives bool
	}{
		"a body":                     {request(), evil, true},
		"a length that is right":     {request("content-length", fmt.Sprint(len(evil))), evil, true},
		"a length that is too small": {request("content-length", "0"), evil, false},
		"a length that is too large": {request("content-length", "9999"), evil, false},
		"a length without a body":    {request("content-length", "5"), "", false},
		"no length, said to be 0":    {request("content-length", "0"), "", true},
		"a length that is huge":      {request("content-length", "18446744073709551616"), evil, false},
		"a huge one without a body":  {request("content-length", "18446744073709551616"), "", false},
		"a length of 63 bits":        {request("content-length", "9223372036854775807"), evil, false},
		"a length with a sign":       {request("content-length", "+"+fmt.Sprint(len(evil))), evil, false},
		"a length in hexadecimal":    {request("content-length", "0x5"), "", false},
		"a length with a space":      {request("content-length", "5 "), "", false},
		"a list of lengths":          {request("content-length", "0, 0"), "", false},
		"a length that is empty":     {request("content-length", ""), "", false},
		"a GET with a length alone":  {append([]string{":method", "GET"}, request("content-length", "3")[2:]...), "", false},
		"two lengths":                {request("content-length", "0", "content-length", fmt.Sprint(len(evil))), evil, false},
		"Transfer-Encoding":          {request("transfer-encoding", "chunked"), "0\r\n\r\n" + evil, false},
		"Connection":                 {request("connection", "x-id"), evil, false},
		"Upgrade":                    {request("upgrade", "h2c"), evil, false},
		"Keep-Alive":                 {request("keep-alive", "timeout=5"), evil, false},
		"TE":                         {request("te", "gzip"), evil, false},
		"a name with a colon":        {request("x: y\r\nTransfer-Encoding", "chunked"), evil, false},
		"a name with a space":        {request("content-length ", "0"), evil, false},
		"a name in capitals":         {request("Content-Length", "0"), evil, false},
		"a value with a line":        {request("x", "y\r\nTransfer-Encoding: chunked"), evil, false},
		"a value with a line feed":   {request("x", "y\nTransfer-Encoding: chunked"), evil, false},
		"a value with NUL":           {request("x", "y\x00z"), evil, false},
		"a method with a line":       {change(":method", "GET /evil HTTP/1.1\r\nX: "), "", false},
		"a method with a space":      {change(":method", "GET /evil"), "", false},
		"a path with a line":         {change(":path", "/ok HTTP/1.1\r\nHost: "+Host+"\r\n\r\nGET /evil"), "", false},
		"a path with a space":        {change(":path", "/ok HTTP/1.1"), "", false},
		"a path that is none":        {change(":path", "evil"), "", false},
		"no path":                    {change(":path", ""), "", false},
		"an authority with a line":   {change(":authority", Host+"\r\nX: y"), "", false},
		"an authority with a space":  {change(":authority", Host+" x"), "", false},
		"CONNECT":                    {[]string{":method", "CONNECT", ":authority", Host}, evil, false},
		"CONNECT to a protocol":      {append(change(":method", "CONNECT"), ":protocol", "websocket"), evil, false},
		"two paths":                  {append([]string{":path", "/evil"}, request()...), evil, false},
		"a pseudo header at the end": {request(":path", "/evil"), evil, false},
		"an unknown pseudo header":   {append([]string{":evil", "x"}, request()...), evil, false},
		"another scheme":             {change(":scheme", "http://"+Host+"/evil HTTP/1.1\r\nX"), "", false},
		"what only an edge may say":  {request("x-forwarded-for", "192.0.2.1", "x-showrunner-edge-key", "guess"), evil, true},
		"a trailer that is a length": {request("trailer", "content-length"), evil, true},
		"an expectation":             {request("expect", "100-continue"), evil, true},
		"another host":               {request("host", "evil.localhost"), evil, true},
	} {
		t.Run(name, func(t *testing.T) {
			instance.Forget()
			status := askHTTP2(t, address, test.fields, test.data)
			seen := instance.Seen()
			if test.arrives && (len(seen) != 1 || !strings.HasPrefix(seen[0], "POST /ok one") || status != "200") || !test.arrives && (len(seen) > 0 || status == "200") {
				t.Errorf("arrived %q, answered %s", seen, status)
			}
		})
	}
}

// askHTTP2 sends the fields as they are, and returns the status of the answer, or
// how the stream ended without one.
func askHTTP2(t *testing.T, address string, fields []string, data string) string {
	t.Helper()
	c := connect(t, address)
	defer c.Close()
	_, _ = io.WriteString(c, http2.ClientPreface)
	framer := http2.NewFramer(c, c)
	framer.AllowIllegalWrites = true
	_ = framer.WriteSettings()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		_ = encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: data == ""})
	if data != "" {
		_ = framer.WriteData(1, true, []byte(data))
	}
	status := ""
	decoder := hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		if f.Name == ":status" {
			status = f.Value
		}
	})
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return "an error: " + err.Error()
		}
		switch f := frame.(type) {
		case *http2.HeadersFrame:
			if _, err := decoder.Write(f.HeaderBlockFragment()); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(status, "1") {
				return status
			}
		case *http2.RSTStreamFrame:
			return "a reset: " + f.ErrCode.String()
		case *http2.GoAwayFrame:
			return "an end: " + f.ErrCode.String()
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = framer.WriteSettingsAck()
			}
		}
	}
}
