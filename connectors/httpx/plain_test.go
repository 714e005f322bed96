package httpx

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// What an error says of a connection names nothing of our own network.
func TestErrorsKeepOurAddresses(t *testing.T) {
	at := func(a string) net.Addr {
		addr, err := net.ResolveTCPAddr("tcp", a)
		if err != nil {
			t.Fatal(err)
		}
		return addr
	}
	missing := &net.DNSError{Err: "no such host", Name: "h.example", Server: "10.9.8.7:53", IsNotFound: true}
	slow := &net.DNSError{Err: "read udp 10.9.8.7:4312->10.9.8.7:53: i/o timeout", Name: "h.example", Server: "10.9.8.7:53", IsTimeout: true}
	reset := &net.OpError{Op: "read", Net: "tcp", Source: at("10.9.8.7:4000"), Addr: at("192.0.2.1:443"), Err: errors.New("connection reset")}
	for want, err := range map[string]error{
		"dial: no such host":                            &net.OpError{Op: "dial", Net: "tcp", Err: missing},
		"dial: its name could not be looked up":         &net.OpError{Op: "dial", Net: "tcp", Err: slow},
		"no such host":                                  missing,
		"the answer breaks off: read: connection reset": fmt.Errorf("the answer breaks off: %w", reset),
		"something else":                                errors.New("something else"),
	} {
		if got := plainly(err); got != want || strings.Contains(got, "10.9.8.7") {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Storages quote the request that they refuse, signature and all.
func TestFetchTellsNothingOfTheAnswer(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, "<StringToSign>"+r.URL.RawQuery+"</StringToSign>")
	})
	c := client(t, Options{})
	_, err := c.Fetch(t.Context(), s.URL+"/a.png?signature=hidden", "")
	if err == nil || strings.Contains(err.Error(), "hidden") || !strings.Contains(err.Error(), "403") {
		t.Errorf("%v, want the status and no more", err)
	}
}
