package fakeworks

import (
	"net"
	"net/http"
	"strings"
	"testing"
)

// A port refuses and comes back at the same address, and ends once.
func TestPort(t *testing.T) {
	p, err := Listen("the fake", "", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), 0)
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(p.URL(), "http://")
	dial := func() error {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err
	}
	for range 2 {
		if err := p.Refuse(true); err != nil || dial() == nil {
			t.Errorf("it refuses: %v", err)
		}
		if err := p.Refuse(false); err != nil || dial() != nil || p.URL() != "http://"+address {
			t.Errorf("it is back: %v", err)
		}
	}
	if _, err := Listen("the other", address, nil, 0); err == nil || !strings.Contains(err.Error(), "the other") {
		t.Errorf("a port that is taken: %v", err)
	}
	steps := ""
	for range 2 {
		if err := p.Shut(func() { steps += "before " }, func() { steps += "after" }); err != nil || dial() == nil {
			t.Errorf("it has ended: %v", err)
		}
	}
	if err := p.Refuse(false); err != nil || dial() == nil || steps != "before after" {
		t.Errorf("after its end: %v, %q", err, steps)
	}
}
