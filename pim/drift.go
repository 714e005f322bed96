package pim

import (
	"encoding/json"
	"time"
)

// Drift is a listing whose target was found to hold something else than it had
// acknowledged.
type Drift struct {
	SKU        SKU          `json:"sku"`
	Lane       Lane         `json:"lane"`
	Kind       DriftKind    `json:"kind" enum:"changed,hidden,absent,present" doc:"changed: fields differ; hidden: the target had shown it, and shows it to nobody; absent: it does not hold it any more; present: it holds what it had dropped"`
	Fields     []DriftField `json:"fields" doc:"Those that differ, at most 50"`
	FoundAt    time.Time    `json:"found_at"`
	LookedAt   time.Time    `json:"looked_at" doc:"When it was seen last"`
	RepairedAt *time.Time   `json:"repaired_at,omitempty" doc:"When it was last put on the road again; it is read once more when it was sent"`
	Repairs    int          `json:"repairs" doc:"How often it was, since it was found"`
}

// DriftKind says in what way a target differs.
type DriftKind string

// The kinds of drift.
const (
	DriftChanged DriftKind = "changed"
	DriftAbsent  DriftKind = "absent"
	DriftPresent DriftKind = "present"
	DriftHidden  DriftKind = "hidden"
)

// DriftField is a field of a document that differs at the target.
type DriftField struct {
	Field string          `json:"field"`
	Sent  json.RawMessage `json:"sent" doc:"What was acknowledged; a long value is cut, and is then a text"`
	Held  json.RawMessage `json:"held" doc:"What the target holds, null for nothing"`
}

// ReconcileMode says what is done about drift.
type ReconcileMode string

// The modes of Reconcile.
const (
	ReconcileOff    ReconcileMode = "off"
	ReconcileReport ReconcileMode = "report"
	ReconcileRepair ReconcileMode = "repair"
)

// Reconcile says how what a channel's target holds is compared with what it
// acknowledged.
type Reconcile struct {
	Mode            ReconcileMode `json:"mode,omitempty" enum:"off,report,repair" doc:"What is done about differences; left out: report, where the connector can read"`
	ProductsPerHour int           `json:"products_per_hour,omitempty" minimum:"1" maximum:"1000000" doc:"How many products are read all the time, those first that were not for the longest time; left out: 600"`
	Ignore          []string      `json:"ignore,omitempty" maxItems:"100" doc:"Fields that may differ, such as stock, or offer.stock for one lane"`
}

// DefaultProductsPerHour is how many products of a channel are sampled.
const DefaultProductsPerHour = 600

// PerHour is ProductsPerHour with its default.
func (r Reconcile) PerHour() int {
	if r.ProductsPerHour <= 0 {
		return DefaultProductsPerHour
	}
	return r.ProductsPerHour
}

// Ignores reports whether a field of a lane may differ.
func (r Reconcile) Ignores(lane Lane, field string) bool {
	for _, name := range r.Ignore {
		if name == field || name == lane.String()+"."+field {
			return true
		}
	}
	return false
}

// check tells what is wrong with the settings.
func (r Reconcile) check(add func(pointer, code, format string, args ...any)) {
	switch r.Mode {
	case "", ReconcileOff, ReconcileReport, ReconcileRepair:
	default:
		add("/reconcile/mode", "field.value", "is one of off, report, repair")
	}
	if r.ProductsPerHour != 0 && (r.ProductsPerHour < 1 || r.ProductsPerHour > 1e6) {
		add("/reconcile/products_per_hour", "limit", "is from 1 to 1000000")
	}
	if len(r.Ignore) > 100 {
		add("/reconcile/ignore", "fields.many", "at most 100 fields may differ")
	}
}

// ReconcileStatus is how the reading of a target fares.
type ReconcileStatus struct {
	Mode     ReconcileMode `json:"mode" enum:"off,report,repair" doc:"What is done about differences; off, too, where the connector cannot read with the channel's settings"`
	Reads    []Lane        `json:"reads" doc:"The lanes of which the target can be asked"`
	LookedAt *time.Time    `json:"looked_at,omitempty" doc:"When the target told last what it holds"`
	PassedAt *time.Time    `json:"passed_at,omitempty" doc:"When the last reading of all products ended"`
	Drifts   int64         `json:"drifts" doc:"Listings that differ"`
	Fails    int           `json:"fails" doc:"Readings in a row that the target did not answer"`
	Error    string        `json:"error,omitempty" doc:"Why not"`
	Run      *ReconcileRun `json:"run,omitempty" doc:"The last whole reading that was asked for"`
}

// ReconcileRun is a whole reading that somebody asked for.
type ReconcileRun struct {
	Number    int64      `json:"number"`
	State     string     `json:"state" enum:"running,finished,cancelled"`
	SKUs      []SKU      `json:"skus,omitempty" doc:"Only these"`
	Repair    bool       `json:"repair" doc:"What differs is put on the road again"`
	Actor     string     `json:"actor"`
	AskedAt   time.Time  `json:"asked_at"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
	Products  int64      `json:"products" doc:"To be read"`
	Seen      int64      `json:"seen" doc:"Of these, read"`
	Same      int64      `json:"same" doc:"Listings of which the target holds what it acknowledged: they are verified"`
	Drifted   int64      `json:"drifted" doc:"Listings that differ"`
	Repaired  int64      `json:"repaired" doc:"Of these, put on the road again"`
	LeftOut   int64      `json:"left_out" doc:"Listings that are on their way, refused, in doubt or acknowledged a moment ago: nothing can be said of them"`
	Unread    int64      `json:"unread" doc:"Listings of which the target would not tell"`
	Remaining float64    `json:"remaining" doc:"The part that is still to be read, from 1 to 0"`
}
