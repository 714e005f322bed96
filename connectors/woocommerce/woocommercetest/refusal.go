package woocommercetest

import "fmt"

// refusal is WordPress's error.
type refusal struct {
	Code    string         `json:"code"`
	Message string         `json:"message"`
	Data    map[string]any `json:"data"`
}

func refuse(status int, code, message string, more ...any) *refusal {
	data := map[string]any{"status": status}
	for i := 0; i+1 < len(more); i += 2 {
		data[fmt.Sprint(more[i])] = more[i+1]
	}
	return &refusal{Code: code, Message: message, Data: data}
}

// reply is an answer before it is written.
type reply struct {
	status int
	header map[string]string
	body   any
}

func refused(r *refusal) *reply {
	status, _ := r.Data["status"].(int)
	return &reply{status: status, body: r}
}
