package boltest

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/sluicehub/sluice/connectors/fakeworks"
)

// The tables of the fake's ledger.
const (
	tableOffers    = "offer"
	tableProducts  = "product"
	tableProcesses = "process"
)

// keptOffer is an offer with what only the fake knows of it.
type keptOffer struct {
	Offer

	Modified time.Time
	Hidden   bool
}

// keptProcess is an upload on its way, or through.
type keptProcess struct {
	Sequence int
	Upload   string
	EAN      string
	Language string
	Attrs    []attr
	Assets   []Asset
	Created  time.Time
	Status   string
	Message  string
	Fates    map[string]Declined
}

func (o *Offer) kept() keptOffer { return keptOffer{*o, o.modified, o.hidden} }

func (p *process) kept() keptProcess {
	return keptProcess{p.sequence, p.upload, p.ean, p.Language, p.Attributes, p.Assets, p.created, p.status, p.message, p.fates}
}

// open reads what an earlier process left at path, and keeps what comes there.
func (f *Fake) open(path string) (err error) {
	f.ledger, err = fakeworks.Open(path, f.load, f.all)
	for _, p := range f.past {
		if p.status == "PENDING" {
			f.queue = append(f.queue, p.id)
		}
	}
	return err
}

// load takes one record of the ledger.
func (f *Fake) load(table, key string, value json.RawMessage) error {
	switch table {
	case tableOffers:
		if value == nil {
			delete(f.offers, key)
			f.order = slices.DeleteFunc(f.order, func(id string) bool { return id == key })
			return nil
		}
		var k keptOffer
		if err := json.Unmarshal(value, &k); err != nil {
			return err
		}
		k.modified, k.hidden = k.Modified, k.Hidden
		if f.offers[key] == nil {
			f.order = append(f.order, key)
		}
		f.offers[key] = &k.Offer
	case tableProducts:
		p := &Product{}
		f.products[key] = p
		return json.Unmarshal(value, p)
	case tableProcesses:
		if value == nil {
			return nil
		}
		var k keptProcess
		if err := json.Unmarshal(value, &k); err != nil {
			return err
		}
		p := f.processes[key]
		if p == nil {
			p = &process{id: key}
			f.past = append(f.past, p)
			f.processes[key], f.uploads[k.Upload] = p, p
			f.forgetOldest()
		}
		p.sequence, p.upload, p.ean, p.created, p.status, p.message, p.fates = k.Sequence, k.Upload, k.EAN, k.Created, k.Status, k.Message, k.Fates
		p.contentRequest = contentRequest{Language: k.Language, Attributes: k.Attrs, Assets: k.Assets}
		f.sequence = max(f.sequence, k.Sequence)
	}
	return nil
}

// all gives every record, in the order in which they came.
func (f *Fake) all(put func(table, key string, value any)) {
	for key, p := range f.products {
		put(tableProducts, key, p)
	}
	for _, id := range f.order {
		put(tableOffers, id, f.offers[id].kept())
	}
	for _, p := range f.past {
		put(tableProcesses, p.id, p.kept())
	}
}

// touch notes that an offer was changed. Callers hold mu.
func (f *Fake) touch(o *Offer) { f.ledger.Put(tableOffers, o.ID, o.kept()) }

// keep writes what the call at hand changed. Callers hold mu.
func (f *Fake) keep() {
	if err := f.ledger.Flush(); err != nil {
		f.noteLocked("%v", err)
		f.ledger = nil
	}
}

// Fresh reports that the fake was to be kept in a file, and none was there.
func (f *Fake) Fresh() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ledger.Fresh()
}

// closeLedger ends the keeping; what is still going on is not kept.
func (f *Fake) closeLedger() {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.ledger.Close() // every line was written already
	f.ledger = nil
}
