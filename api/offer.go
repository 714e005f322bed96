package api

import (
	"context"
	"crypto/sha256"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

const tagOffers = "prices and stock"

// PriceRow is one row of a batch of prices.
type PriceRow struct {
	SKU         pim.SKU      `json:"sku"`
	PriceList   string       `json:"price_list,omitempty" default:"default"`
	Currency    pim.Currency `json:"currency"`
	Amount      amount       `json:"amount,omitempty" doc:"0 or more, up to 15 digits before the point and 6 after it"`
	MinQuantity int          `json:"min_quantity,omitempty" default:"1" minimum:"1"`
	ValidFrom   *time.Time   `json:"valid_from,omitempty" nullable:"true" doc:"Inclusive"`
	ValidTo     *time.Time   `json:"valid_to,omitempty" nullable:"true" doc:"Exclusive"`
	Delete      bool         `json:"delete,omitempty" doc:"Remove this price"`
	AsOf        *time.Time   `json:"as_of,omitempty" nullable:"true" doc:"As of when the row is, by its sender: a row that is older than the newest of the same price is stale, and changes nothing"`
	Sequence    *int64       `json:"sequence,omitempty" nullable:"true" doc:"As as_of, by a number that rises; with as_of it tells rows of the same time apart"`
}

// StockRow is one row of a batch of stock levels.
type StockRow struct {
	SKU           pim.SKU    `json:"sku"`
	Location      string     `json:"location,omitempty" default:"default"`
	OnHand        *int64     `json:"on_hand,omitempty" doc:"A count: what there is"`
	Reserved      int64      `json:"reserved,omitempty" doc:"Of a count; left out: 0"`
	Delta         int64      `json:"delta,omitempty" doc:"In place of a count: what came, or below 0 went"`
	ReservedDelta int64      `json:"reserved_delta,omitempty" doc:"In place of a count: what was reserved, or below 0 released"`
	SafetyStock   *int64     `json:"safety_stock,omitempty" nullable:"true" minimum:"0" doc:"Pieces of the product that are never sold at the location, from now on; null: as many as the location says; left out: as before. It may stand alone"`
	MessageID     string     `json:"message_id,omitempty" maxLength:"200" doc:"The sender's own id: the same again at the same level within 7 days counts for nothing"`
	AsOf          *time.Time `json:"as_of,omitempty" doc:"As of when the row is, by its sender: a row that is older than the newest count of its level is stale, and changes nothing"`
	Sequence      *int64     `json:"sequence,omitempty" doc:"As as_of, by a number that rises; with as_of it tells rows of the same time apart"`
}

// amount is a decimal number; it is only for the description.
type amount string

// Schema says that it is a number or its text.
func (amount) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		OneOf:       []*huma.Schema{{Type: huma.TypeNumber}, {Type: huma.TypeString, Pattern: `^[0-9]+(\.[0-9]+)?$`}},
		Description: "A number, or its text",
		Examples:    []any{"19.90"},
	}
}

// BatchAnswer says what became of each row.
type BatchAnswer struct {
	Changed    int                  `json:"changed"`
	Unchanged  int                  `json:"unchanged"`
	Superseded int                  `json:"superseded" doc:"Rows that a later row of the batch says again"`
	Stale      int                  `json:"stale" doc:"Rows that are older than what is there"`
	Rejected   int                  `json:"rejected"`
	Held       int                  `json:"held" doc:"Prices that the list's guard holds until they are approved"`
	Results    []postgres.RowResult `json:"results" doc:"One per row, in the order of the rows; pointers begin with the row's number"`
}

type batchInput struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"255" doc:"The same key and body get the first answer again, for a day"`
	ContentType    string `header:"Content-Type" hidden:"true"`
	RawInput
}

func (s *server) registerOffers() {
	handle(s, op("set-prices", http.MethodPost, "/v1/prices:batch", tagOffers, "Set up to 1,000 prices, each row for itself",
		takesRows[PriceRow](s), says(batchText)), func(ctx context.Context, in *batchInput) (*answer[BatchAnswer], error) {
		return batch(ctx, in, priceRow, s.Store.SetPrices)
	})
	handle(s, op("set-stock", http.MethodPost, "/v1/stock:batch", tagOffers, "Change up to 1,000 stock levels, each row for itself",
		takesRows[StockRow](s), says(batchText+" A row is a count or a delta; rows of one level count in their order.")), func(ctx context.Context, in *batchInput) (*answer[BatchAnswer], error) {
		return batch(ctx, in, stockRow, s.Store.SetStock)
	})
}

const batchText = "The body is a JSON array, or NDJSON. A row that is not right is rejected for itself; the others are stored when the answer comes."

// takesRows declares a JSON array of T, or NDJSON of it.
func takesRows[T any](s *server) func(*huma.Operation) {
	row, most := schemaOf[T](s), maxRows
	return takes(maxBatch, map[string]*huma.Schema{
		typeJSON:   {Type: huma.TypeArray, Items: row, MaxItems: &most},
		typeNDJSON: {Type: huma.TypeString, Description: "One JSON object per line, shaped as an item of the JSON array"},
	})
}

// batch decodes rows, has the store set the good ones, and puts the outcome of
// all together.
func batch[R any](ctx context.Context, in *batchInput, read func(*binder, map[string]any) R,
	set func(context.Context, string, []R, postgres.Idempotency) ([]postgres.RowResult, error),
) (*answer[BatchAnswer], error) {
	rows, err := splitRows(in.RawBody, in.ContentType)
	if err != nil {
		return nil, err
	}
	c := callOf(ctx)
	idem, err := idempotency(c, in)
	if err != nil {
		return nil, err
	}
	results := make([]postgres.RowResult, len(rows))
	good, at := make([]R, 0, len(rows)), make([]int, 0, len(rows))
	for i, row := range rows {
		r, sku, problems := decodeRow(row, read)
		if len(problems) > 0 {
			results[i] = postgres.RowResult{SKU: sku, Status: postgres.RowRejected, Problems: problems}
			continue
		}
		good, at = append(good, r), append(at, i)
	}
	done, err := set(ctx, c.key.Name, good, idem)
	if err != nil {
		return nil, err
	}
	for i, r := range done {
		results[at[i]] = r
	}
	a := BatchAnswer{Results: results}
	for i := range results {
		r := &results[i]
		prefix := "/" + strconv.Itoa(i)
		for j := range r.Problems {
			r.Problems[j].Pointer = prefix + r.Problems[j].Pointer
		}
		switch r.Status {
		case postgres.RowChanged:
			a.Changed++
		case postgres.RowUnchanged:
			a.Unchanged++
		case postgres.RowSuperseded:
			a.Superseded++
		case postgres.RowStale:
			a.Stale++
		case postgres.RowRejected:
			a.Rejected++
		case postgres.RowHeld:
			a.Held++
		}
	}
	return &answer[BatchAnswer]{a}, nil
}

// idempotency binds the client's key to the operation and the body.
func idempotency(c *call, in *batchInput) (postgres.Idempotency, error) {
	if in.IdempotencyKey == "" {
		return postgres.Idempotency{}, nil
	}
	for i := range len(in.IdempotencyKey) {
		if b := in.IdempotencyKey[i]; b < ' ' || b > '~' {
			return postgres.Idempotency{}, badParameter("header.Idempotency-Key", "idempotency.key", "the key has printable ASCII characters only")
		}
	}
	h := sha256.New()
	h.Write([]byte(c.op + "\n"))
	h.Write(in.RawBody)
	return postgres.Idempotency{KeyID: c.key.ID, Key: in.IdempotencyKey, Request: h.Sum(nil)}, nil
}
