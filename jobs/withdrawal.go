package jobs

import (
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// This file says withdrawals in words.

// withdrawnText says what a target was told of what left its channel, and did.
func withdrawnText(w pim.Withdrawal) string {
	switch w {
	case pim.WithdrawDelete:
		return "the target was told to delete it, and did"
	case pim.WithdrawDisable:
		return "the target was told to keep it and to show it to nobody, and did"
	case pim.WithdrawZeroStock:
		return "the target keeps it, and was told that none is left"
	}
	return "the target was told to drop it, and did"
}

// goneWhy says why a product is not for a channel, where no more is known.
const goneWhy = "the product, or a model above it, is deleted, disabled or not published here, or it is a sub-model"

// leavingText says what a target is told of what leaves its channel. gone: it is not
// for the channel; else the mapping makes nothing of it.
func leavingText(w pim.Withdrawal, gone bool) string {
	why := "the mapping makes nothing of the product any more"
	if gone {
		why = goneWhy
	}
	switch w {
	case pim.WithdrawDelete:
		return why + ": the target is told to delete it"
	case pim.WithdrawDisable:
		return why + ": the target is told to keep it and to show it to nobody"
	case pim.WithdrawZeroStock:
		return why + ": the target is told that none is left"
	}
	return why + ": the target is told to drop it"
}

// leaving is what is to become of what leaves its channel.
var leaving = map[pim.Withdrawal]string{
	"":                    "taken off the target",
	pim.WithdrawDelete:    "deleted at the target",
	pim.WithdrawDisable:   "hidden at the target",
	pim.WithdrawZeroStock: "sold out at the target",
}

// gone says why a product leaves its channels.
func gone(p *postgres.ExplainedProduct) string {
	switch {
	case p.Deleted != nil:
		return "the product is deleted"
	case p.ParentDeleted:
		return "the product's parent is deleted"
	case !p.Enabled:
		return "the product is disabled"
	case p.ParentDisabled:
		return "the product's parent is disabled"
	case p.Closed != nil:
		return "the product is not published here"
	}
	return "the channel's document of it has no field any more"
}
