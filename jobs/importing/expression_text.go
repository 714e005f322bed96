package importing

import (
	"cel.dev/cel-go/interpreter"

	"github.com/sluicehub/sluice/connectors"
)

// texts are the text functions of expressions over rows. A row's cells are
// larger than what a channel takes.
var texts = connectors.TextLimits{Result: 4 << 20, Search: 1 << 30}.Functions()

// bounded puts them in the place of CEL's own.
func bounded(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	n, ok := i.(interpreter.InterpretableCall)
	if !ok {
		return i, nil
	}
	f, ok := texts[n.Function()]
	if !ok {
		return i, nil
	}
	return interpreter.NewCall(n.ID(), n.Function(), n.OverloadID(), n.Args(), f), nil
}
