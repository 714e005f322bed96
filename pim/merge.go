package pim

import "maps"

// MergePatch applies a JSON merge patch (RFC 7386) and gives the result. Neither
// argument is changed; the result shares with both what needed no copy, so all
// three are read only afterwards. Objects are map[string]any or Values; the
// result's are map[string]any.
func MergePatch(target, patch any) any {
	p, ok := object(patch)
	if !ok {
		return patch
	}
	t, ok := object(target)
	if ok && len(p) == 0 {
		return t
	}
	out := make(map[string]any, len(t)+len(p))
	maps.Copy(out, t)
	for k, v := range p {
		if v == nil {
			delete(out, k)
			continue
		}
		out[k] = MergePatch(out[k], v)
	}
	return out
}

// PatchValues applies a merge patch to a product's values; see MergePatch.
func PatchValues(v, patch Values) Values {
	out, _ := object(MergePatch(map[string]any(v), map[string]any(patch)))
	return out
}

func object(v any) (map[string]any, bool) {
	switch v := v.(type) {
	case map[string]any:
		return v, true
	case Values:
		return v, true
	}
	return nil, false
}

// MergeVariant gives a variant's values as readers see them: its own over its
// parent's, attribute by attribute, and within scopes locale by locale and
// channel by channel, so that a variant with its own German name keeps its
// parent's English one. A sub-model's stand over its root model's in the same
// way before its variants' are laid over both. Both are values as CheckValues gives them; the result
// shares with both and is read only, as they are from then on.
func MergeVariant(parent, own Values) Values {
	switch {
	case len(own) == 0:
		return parent
	case len(parent) == 0:
		return own
	}
	return inherit(parent, own)
}

// inherit lays own over parent. An amount with its unit is an object too, but
// has always both members, so that own's replace it whole.
func inherit(parent, own map[string]any) map[string]any {
	out := make(map[string]any, len(parent)+len(own))
	maps.Copy(out, parent)
	for k, v := range own {
		if mine, ok := v.(map[string]any); ok {
			if theirs, ok := out[k].(map[string]any); ok {
				out[k] = inherit(theirs, mine)
				continue
			}
		}
		out[k] = v
	}
	return out
}
