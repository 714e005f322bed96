package all_test

import (
	"encoding/json"
	"reflect"
	"regexp"
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/all"
	"github.com/sluicehub/sluice/pim"
)

// What the registry's readers (API, drains, console) count on for every kind.
func TestKinds(t *testing.T) {
	name := regexp.MustCompile(`^[a-z][a-z0-9_]{1,30}$`)
	for _, k := range all.Registry().Kinds() {
		if !name.MatchString(k.Name) || k.Title == "" || len(k.Lanes) == 0 && k.Name != pim.NoConnector {
			t.Errorf("kind %+v", k)
		}
		if l := k.Limits; l.Batch < 1 || l.Concurrency < 1 || l.Timeout <= 0 || l.Settle <= 0 {
			t.Errorf("%s: limits %+v", k.Name, l)
		}
		if c := reflect.ValueOf(k.Config); c.Kind() != reflect.Pointer || c.Elem().Kind() != reflect.Struct || !c.Elem().IsZero() {
			t.Errorf("%s: Config is no pointer to a zero struct", k.Name)
		}
		if len(k.Makes) == 0 {
			t.Errorf("%s: Makes is empty: nobody can see its powers (one nil pointer of each type that New gives)", k.Name)
		}
		if _, err := k.New(json.RawMessage(`{"no such field":1}`), connectors.Env{}); err == nil {
			t.Errorf("%s takes an unknown field", k.Name)
		}
	}
}
