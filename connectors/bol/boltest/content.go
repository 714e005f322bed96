package boltest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// Product is the content that bol holds of an EAN. It can be changed and never
// deleted.
type Product struct {
	Attributes map[string]map[string][]Value // language → attribute → values
	Assets     []Asset
}

// Value is one value of an attribute.
type Value struct {
	Value string  `json:"value"`
	Unit  *string `json:"unitId,omitempty"`
}

// Asset is a picture or another file.
type Asset struct {
	URL    string   `json:"url"`
	Labels []string `json:"labels"`
}

// Declined is why an attribute is not taken.
type Declined struct{ SubStatus, Description string }

type contentRequest struct {
	Language   string  `json:"language"`
	Attributes []attr  `json:"attributes"`
	Assets     []Asset `json:"assets"`
}

type attr struct {
	ID     string  `json:"id"`
	Values []Value `json:"values"`
}

// process is one upload on its way.
type process struct {
	id, upload, ean string
	contentRequest
	sequence int
	created  time.Time
	status   string
	message  string
	asked    int // questions so far
	reads    int // of the report
	fates    map[string]Declined
}

// maxPast bounds how many processes are remembered.
const maxPast = 1 << 16

func (f *Fake) postContent(c call) answer {
	var req contentRequest
	if !f.decode(PostContent, c.body, &req) {
		return f.problem(v10, http.StatusBadRequest, "The request body could not be read.")
	}
	bad, ean := req.faults()
	for _, a := range req.Attributes {
		for _, v := range a.Values {
			if v.Unit == nil {
				f.noteLocked("%s: the contract wants a unitId with each value; %s has none", PostContent, a.ID)
			}
		}
	}
	if f.refused[key(ean)] {
		bad = append(bad, violation{"attributes[1].values[0].value", "Request contains invalid value(s)." + f.rude(c.Header.Get("Authorization"))})
	}
	if len(bad) > 0 {
		return f.problem(v10, http.StatusBadRequest, "Bad request"+f.rude(c.Header.Get("Authorization")), bad...)
	}
	f.sequence++
	p := &process{id: fmt.Sprintf("019bbcbc-1a21-77c9-9de6-%012d", f.sequence), upload: uuid(), ean: ean, contentRequest: req, sequence: f.sequence, created: time.Now(), status: "PENDING"}
	f.processes[p.id], f.uploads[p.upload] = p, p
	f.past = append(f.past, p)
	f.forgetOldest()
	f.queue = append(f.queue, p.id)
	f.ledger.Put(tableProcesses, p.id, p.kept())
	f.noteContent(req, ean)
	taken := f.status(p)
	if f.opts.Polls == 0 && !f.hold {
		f.work()
	}
	return answer{status: http.StatusAccepted, media: v10, body: taken}
}

// forgetOldest drops what is more than is remembered. Callers hold mu.
func (f *Fake) forgetOldest() {
	for len(f.past) > maxPast {
		delete(f.processes, f.past[0].id)
		delete(f.uploads, f.past[0].upload)
		f.past = f.past[1:]
	}
}

// faults are bol's rules for the form of content.
func (req *contentRequest) faults() (bad []violation, ean string) {
	add := func(name, format string, args ...any) {
		bad = append(bad, violation{name, fmt.Sprintf(format, args...)})
	}
	if !slices.Contains([]string{"nl", "nl-BE", "fr", "fr-BE"}, req.Language) {
		add("language", "Request contains invalid value(s): '%s', allowed values: nl, nl-BE, fr, fr-BE.", req.Language)
	}
	if n := len(req.Attributes); n < 1 || n > 150 {
		add("attributes", "size must be between 1 and 150")
	}
	for i, a := range req.Attributes {
		name := fmt.Sprintf("attributes[%d]", i)
		if n := len([]rune(a.ID)); n < 1 || n > 100 {
			add(name+".id", "size must be between 1 and 100")
		}
		if n := len(a.Values); n < 1 || n > 300 {
			add(name+".values", "size must be between 1 and 300")
			continue
		}
		for j, v := range a.Values {
			if n := len([]rune(v.Value)); n < 1 || n > 10_000 {
				add(fmt.Sprintf("%s.values[%d].value", name, j), "size must be between 1 and 10000")
			}
		}
		if a.ID == "EAN" {
			ean = a.Values[0].Value
		}
	}
	if ean == "" {
		add("attributes", "There must be one EAN attribute.")
	}
	if len(req.Assets) > 30 {
		add("assets", "size must be between 0 and 30")
	}
	for i, a := range req.Assets {
		if u, err := url.Parse(a.URL); err != nil || u.Host == "" {
			add(fmt.Sprintf("assets[%d].url", i), "must be a URL")
		}
		if n := len(a.Labels); n < 1 || n > 2 {
			add(fmt.Sprintf("assets[%d].labels", i), "size must be between 1 and 2")
		}
	}
	return bad, ean
}

// work does all that waits, in the order in which it came. Callers hold mu.
func (f *Fake) work() {
	for _, id := range f.queue {
		if p := f.processes[id]; p != nil && p.status == "PENDING" {
			f.finish(p)
		}
	}
	f.queue = nil
}

// finish ends a process. Callers hold mu.
func (f *Fake) finish(p *process) {
	defer func() { f.ledger.Put(tableProcesses, p.id, p.kept()) }()
	if message := f.failing[key(p.ean)]; message != "" {
		p.status, p.message = "FAILURE", message+f.rude("")
		return
	}
	p.status, p.fates = "SUCCESS", map[string]Declined{}
	if code, _ := pim.GTINFault(p.ean); code != "" {
		for _, a := range p.Attributes {
			p.fates[a.ID] = Declined{"MATCH_TO_PRODUCT_FAILED", "There is no product of this EAN."}
		}
		p.fates["EAN"] = Declined{"VALIDATION_FAILED_INVALID_EAN", "The EAN is not valid."}
		return
	}
	for id, d := range f.declined[key(p.ean)] {
		p.fates[id] = d
	}
	product := f.products[key(p.ean)]
	if product == nil {
		product = &Product{Attributes: map[string]map[string][]Value{}}
		f.products[key(p.ean)] = product
	}
	for _, a := range p.Attributes {
		if _, refused := p.fates[a.ID]; refused || a.ID == "EAN" {
			continue
		}
		if product.Attributes[p.Language] == nil {
			product.Attributes[p.Language] = map[string][]Value{}
		}
		product.Attributes[p.Language][a.ID] = a.Values
	}
	if len(p.Assets) > 0 {
		product.Assets = p.Assets
	}
	f.ledger.Put(tableProducts, key(p.ean), product)
}

// status is a process as bol's answers write it.
func (f *Fake) status(p *process) map[string]any {
	s := map[string]any{
		"processStatusId": p.id, "eventType": "CREATE_PRODUCT_CONTENT", "description": "Create content for a product.", "status": p.status,
		"createTimestamp": p.created.Format(time.RFC3339),
		"links":           []any{map[string]string{"rel": "self", "href": "https://api.bol.com/shared/process-status/" + p.id}},
	}
	if p.status == "SUCCESS" {
		s["entityId"] = p.upload // there is none before, nor on failure
	}
	if p.message != "" {
		s["errorMessage"] = p.message
	}
	return s
}

func (f *Fake) processStatus(c call) answer {
	var req struct {
		Queries []struct {
			ID string `json:"processStatusId"`
		} `json:"processStatusQueries"`
	}
	if !f.decode(ProcessStatus, c.body, &req) {
		return f.problem(v10, http.StatusBadRequest, "The request body could not be read.")
	}
	if n := len(req.Queries); n < 1 || n > 1000 {
		f.noteLocked("%s: %d processes in one call", ProcessStatus, n)
		return f.problem(v10, http.StatusBadRequest, "Bad request", violation{"processStatusQueries", "size must be between 1 and 1000"})
	}
	found := []any{}
	for _, q := range req.Queries {
		p := f.processes[q.ID]
		if p == nil {
			continue
		}
		p.asked++
		if p.status == "PENDING" && !f.hold && p.asked >= f.opts.Polls {
			f.finish(p)
			f.queue = slices.DeleteFunc(f.queue, func(id string) bool { return id == p.id })
		}
		found = append(found, f.status(p))
	}
	return ok(v10, map[string]any{"processStatuses": found})
}

func (f *Fake) getReport(c call) answer {
	if p := f.uploads[c.PathValue("id")]; p != nil && p.status == "SUCCESS" {
		p.reads++
		return ok(v10, f.report(p, p.reads <= f.laggards))
	}
	return f.problem(v10, http.StatusNotFound, "The requested upload report could not be found.")
}

// report is an upload's report as bol's answers write it.
func (f *Fake) report(p *process, working bool) map[string]any {
	attributes, assets := []any{}, []any{}
	for _, a := range p.Attributes {
		entry := map[string]any{"id": a.ID, "values": a.Values, "status": "PUBLISHED", "subStatus": "CREATED"}
		if d, refused := p.fates[a.ID]; refused {
			entry["status"], entry["subStatus"], entry["subStatusDescription"] = "DECLINED", d.SubStatus, d.Description
		} else if working {
			entry["status"], entry["subStatus"] = "IN_PROGRESS", "PROCESSING_STARTED"
		}
		attributes = append(attributes, entry)
	}
	for _, a := range p.Assets {
		entry := map[string]any{"url": a.URL, "labels": a.Labels, "status": "PUBLISHED", "subStatus": "PUBLISHED"}
		if d, refused := p.fates[a.URL]; refused {
			entry["status"], entry["subStatus"], entry["subStatusDescription"] = "DECLINED", d.SubStatus, d.Description
		} else if working {
			entry["status"], entry["subStatus"] = "IN_PROGRESS", "RECEIVED"
		}
		assets = append(assets, entry)
	}
	status := "COMPLETED"
	if working {
		status = "IN_PROGRESS"
	}
	return map[string]any{"uploadId": p.upload, "language": p.Language, "status": status, "attributes": attributes, "assets": assets}
}

// Hold keeps processes pending until Process, or ends that for those to come.
func (f *Fake) Hold(hold bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hold = hold
}

// Process does all work that waits.
func (f *Fake) Process() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.work()
	f.bump()
}

// End ends the waiting processes of an EAN with a status: FAILURE, TIMEOUT. Where
// languages are given, only theirs.
func (f *Fake) End(ean, status, message string, languages ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.processes {
		if key(p.ean) == key(ean) && p.status == "PENDING" && (len(languages) == 0 || slices.Contains(languages, p.Language)) {
			p.status, p.message = status, message
			f.ledger.Put(tableProcesses, p.id, p.kept())
		}
	}
	f.bump()
}

// Forget drops all processes, as bol does some time after they ended.
func (f *Fake) Forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.processes)
	clear(f.uploads)
	f.queue, f.past = nil, nil
}

// Lag makes reports answer IN_PROGRESS to their first n reads.
func (f *Fake) Lag(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.laggards = n
}

// Reject refuses content and new offers of an EAN at once, with a violation.
func (f *Fake) Reject(ean string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused[key(ean)] = true
}

// RejectLater ends the processes of an EAN's content as failures.
func (f *Fake) RejectLater(ean, message string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failing[key(ean)] = message
}

// Decline makes the upload reports of an EAN decline an attribute by its id, or
// a picture by its address.
func (f *Fake) Decline(ean, part string, d Declined) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.declined[key(ean)] == nil {
		f.declined[key(ean)] = map[string]Declined{}
	}
	f.declined[key(ean)][part] = d
}

// Accept ends Reject, RejectLater and Decline for all.
func (f *Fake) Accept() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.refused)
	clear(f.failing)
	clear(f.declined)
}

// Products are how many EANs have content.
func (f *Fake) Products() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.products)
}

// HeldContent is the content of an EAN as JSON; "" is nothing.
func (f *Fake) HeldContent(ean string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.products[key(ean)]
	if p == nil {
		return ""
	}
	raw, err := json.Marshal(p)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// Counts are the totals since the start.
func (f *Fake) Counts() Counts {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.count
	c.By = map[string]int{}
	for op, n := range f.count.By {
		c.By[op] = n
	}
	return c
}
