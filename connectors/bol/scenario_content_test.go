package bol_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/bol/boltest"
	"github.com/sluicehub/sluice/pim"
)

func twoLanguages(t *testing.T, wrap wrapper) {
	w := newWorld(t, wrap, boltest.Options{Polls: 2}, nil)
	r := w.ok(content("A", `"Name":"Ketel","Width":{"amount":14.50,"unit":"mm"},"Colour":["rood","blauw"],"Name@fr":"Bouilloire","Empty":"",
		"images":["https://shop.example/1.jpg","relative.jpg",{"url":"https://shop.example/2.jpg","labels":["BACK"]}]`))[0]
	if r.Status != connectors.Pending || r.Token == "" || len(r.Issues) != 1 || r.Issues[0].Code != "bol.image_address" {
		t.Fatalf("%+v", r)
	}
	if p := w.poll(r.Token)[0]; p.Status != connectors.Pending || p.Token != r.Token || p.After <= 0 {
		t.Fatalf("%+v", p)
	}
	if w.fake.HeldContent(eanOf("A")) != "" {
		t.Fatal("the fake was too quick")
	}
	if p := w.poll(r.Token)[0]; p.Status != connectors.Live || p.Err != nil || len(p.Issues) > 0 {
		t.Fatalf("%+v", p)
	}
	want := `{"Attributes":{"fr":{"Name":[{"value":"Bouilloire","unitId":""}]},` +
		`"nl":{"Colour":[{"value":"rood","unitId":""},{"value":"blauw","unitId":""}],"Name":[{"value":"Ketel","unitId":""}],"Width":[{"value":"14.50","unitId":"mm"}]}},` +
		`"Assets":[{"url":"https://shop.example/1.jpg","labels":["FRONT"]},{"url":"https://shop.example/2.jpg","labels":["BACK"]}]}`
	if got := w.fake.HeldContent(eanOf("A")); got != want {
		t.Errorf("bol holds %s\nwant %s", got, want)
	}
}

func declined(t *testing.T, wrap wrapper) {
	w := newWorld(t, wrap, boltest.Options{}, nil)
	w.fake.Decline(eanOf("A"), "Width", boltest.Declined{SubStatus: "VALIDATION_FAILED_INVALID_NUMBER", Description: "The numeric value is incorrect."})
	w.fake.Decline(eanOf("A"), "Colour", boltest.Declined{SubStatus: "IDENTICAL_VALUE_AS_BEFORE"})
	w.fake.Decline(eanOf("A"), "https://shop.example/1.jpg", boltest.Declined{SubStatus: "DOWNLOAD_FAILED_404", Description: "Failed to download."})
	r := w.ok(content("A", `"Name":"Ketel","Colour":"rood","Width@fr":"q200","images":["https://shop.example/1.jpg"]`))[0]
	p := w.poll(r.Token)[0]
	want := []pim.Issue{
		{Code: "DOWNLOAD_FAILED_404", Severity: pim.SeverityWarning, Attribute: "images", Text: "Failed to download."},
		{Code: "VALIDATION_FAILED_INVALID_NUMBER", Severity: pim.SeverityWarning, Attribute: "Width@fr", Text: "The numeric value is incorrect."},
	}
	if p.Err != nil || p.Status != connectors.Accepted || !slices.Equal(p.Issues, want) {
		t.Errorf("%+v, want %+v", p, want)
	}
	// Where nothing else is taken, the content is refused.
	r = w.ok(content("A", `"Width":"q200"`))[0]
	p = w.poll(r.Token)[0]
	e := connectors.AsError(p.Err)
	if p.Err == nil || e.Verdict != connectors.Validation || len(e.Issues) != 1 || e.Issues[0].Severity != pim.SeverityError || e.Issues[0].Attribute != "Width" {
		t.Errorf("%+v", p)
	}
}

func refusedContent(t *testing.T, wrap wrapper) {
	w := newWorld(t, wrap, boltest.Options{}, nil)
	w.fake.Reject(eanOf("A"))
	e := w.wantError(content("A", `"Name":"Ketel"`), connectors.Validation, false)
	if len(e.Issues) != 1 || e.Issues[0].Attribute != "Name" || e.Issues[0].Code != "bol.violation" {
		t.Errorf("issues %+v", e.Issues)
	}
	w.fake.Decline(eanOf("B"), "EAN", boltest.Declined{SubStatus: "MATCH_TO_PRODUCT_FAILED", Description: "There is no such product."})
	r := w.ok(content("B", ""))[0]
	p := w.poll(r.Token)[0]
	if e := connectors.AsError(p.Err); p.Err == nil || e.Verdict != connectors.Validation || len(e.Issues) != 1 || e.Issues[0].Attribute != "ean" ||
		e.Issues[0].Severity != pim.SeverityError {
		t.Errorf("%+v", p)
	}
}

func badEnds(t *testing.T, wrap wrapper) {
	w := newWorld(t, wrap, boltest.Options{}, nil)
	w.fake.Hold(true)
	r := w.ok(content("A", ""), content("B", ""), content("C", ""))
	w.fake.End(eanOf("A"), "FAILURE", "This brand may not be sold.")
	w.fake.End(eanOf("B"), "TIMEOUT", "")
	p := w.poll(r[0].Token, r[1].Token, r[2].Token, "x")
	if e := connectors.AsError(p[0].Err); p[0].Err == nil || e.Verdict != connectors.Validation || e.Uncertain ||
		!slices.Equal(e.Issues, []pim.Issue{{Code: "bol.process_failure", Severity: pim.SeverityError, Text: "This brand may not be sold."}}) {
		t.Errorf("failure: %+v", p[0])
	}
	for _, i := range []int{1, 3} {
		if e := connectors.AsError(p[i].Err); p[i].Err == nil || e.Verdict != connectors.Conflict || e.Uncertain {
			t.Errorf("timeout, or a strange token: %+v", p[i])
		}
	}
	if p[2].Status != connectors.Pending {
		t.Errorf("still at work: %+v", p[2])
	}
	w.fake.Forget()
	if p := w.poll(r[2].Token)[0]; p.Err == nil || connectors.AsError(p.Err).Verdict != connectors.Conflict {
		t.Errorf("a process that bol forgot: %+v", p)
	}
}

// One language fails and the other does not: bol holds something new, so the
// content must not be called refused.
func halfTaken(t *testing.T, wrap wrapper) {
	w := newWorld(t, wrap, boltest.Options{}, nil)
	w.fake.Hold(true)
	r := w.ok(content("A", `"Name":"Ketel","Name@fr":"Bouilloire"`), content("B", `"Name":"Ketel","Name@fr":"Bouilloire"`))
	w.fake.End(eanOf("A"), "FAILURE", "Ce nom n'est pas permis.", "fr")
	w.fake.End(eanOf("B"), "FAILURE", "No.")
	w.fake.Hold(false)
	w.fake.Process()
	if got := w.fake.HeldContent(eanOf("A")); !strings.Contains(got, "Ketel") || strings.Contains(got, "Bouilloire") {
		t.Fatalf("bol holds %s", got)
	}
	p := w.poll(r[0].Token, r[1].Token)
	want := []pim.Issue{{Code: "bol.process_failure", Severity: pim.SeverityWarning, Text: "Ce nom n'est pas permis."}}
	if p[0].Err != nil || p[0].Status != connectors.Accepted || !slices.Equal(p[0].Issues, want) {
		t.Errorf("half of it: %+v", p[0])
	}
	if e := connectors.AsError(p[1].Err); p[1].Err == nil || e.Verdict != connectors.Validation || len(e.Issues) != 2 || e.Issues[0].Severity != pim.SeverityError {
		t.Errorf("nothing of it: %+v", p[1])
	}
}

func lateReport(t *testing.T, wrap wrapper) {
	w := newWorld(t, wrap, boltest.Options{}, nil)
	w.fake.Lag(1)
	r := w.ok(content("A", ""))[0]
	if p := w.poll(r.Token)[0]; p.Err != nil || p.Status != connectors.Pending || p.Token != r.Token {
		t.Fatalf("%+v", p)
	}
	w.fake.Script(boltest.Fault{Kind: boltest.Throttle, Op: boltest.GetReport, Times: 1})
	if p := w.poll(r.Token)[0]; p.Err != nil || p.Status != connectors.Pending {
		t.Fatalf("a report that cannot be read: %+v", p)
	}
	if p := w.poll(r.Token)[0]; p.Status != connectors.Live {
		t.Errorf("%+v", p)
	}
}

func manyProcesses(t *testing.T, wrap wrapper) {
	w := newWorld(t, wrap, boltest.Options{}, nil)
	w.fake.Hold(true)
	r := w.ok(content("A", ""))[0]
	tokens := make([]string, 2300)
	for i := range tokens {
		tokens[i] = strings.Replace(r.Token, "nl=", fmt.Sprintf("nl=%d", i), 1)
	}
	tokens[2000] = r.Token
	for i, p := range w.poll(tokens...) {
		if i == 2000 && p.Status != connectors.Pending || i != 2000 && p.Err == nil {
			t.Fatalf("token %d: %+v", i, p)
		}
	}
	if n := w.fake.Counts().By[boltest.ProcessStatus]; n != 3 {
		t.Errorf("%d calls for 2,300 processes", n)
	}
}
