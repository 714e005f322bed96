package tryton_test

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sluicehub/sluice/connectors/connectortest"
)

// recorded is one exchange as JSON.
type recorded struct {
	Request map[string]any `json:"request"`
	Status  int            `json:"status"`
	Answer  map[string]any `json:"answer"`
}

// recordedOf reads an exchange; what is no JSON stays nil.
func recordedOf(e connectortest.Exchange) recorded {
	r := recorded{Status: e.Status}
	_ = json.Unmarshal(e.Sent, &r.Request)
	_ = json.Unmarshal(e.Answer, &r.Answer)
	return r
}

// kind tells exchanges apart: by method, what is asked for, and how it ended.
func (r recorded) kind() string {
	params, _ := r.Request["params"].([]any)
	asked := ""
	for _, p := range params {
		if list, ok := p.([]any); ok && len(list) > 0 {
			if _, ok := list[0].(string); ok {
				asked = fmt.Sprint(list)
			}
		}
	}
	ended := "result"
	if e, ok := r.Answer["error"].([]any); ok && len(e) > 0 {
		ended = fmt.Sprint("error ", e[0])
	}
	return strings.Join([]string{fmt.Sprint(r.Request["method"]), asked, ended}, " | ")
}

// short keeps the first two of a list.
func short(v any) any {
	if list, ok := v.([]any); ok && len(list) > 2 {
		return list[:2]
	}
	return v
}
