package service

import (
	"slices"

	"github.com/sluicehub/sluice/connectors/translation"
)

// Needed are the texts that have something to translate, without the white space
// at their ends, and their places. The others stay as they are.
func Needed(texts []string) (needed []string, places []int) {
	for i, text := range texts {
		if translation.Translatable(text) {
			_, inner, _ := Space(text)
			needed, places = append(needed, inner), append(places, i)
		}
	}
	return needed, places
}

// Filled are texts with those at places replaced by their translations, each
// between the white space of what it replaces.
func Filled(texts []string, places []int, translated []string) []string {
	filled := slices.Clone(texts)
	for n, i := range places {
		filled[i] = Spaced(texts[i], translated[n])
	}
	return filled
}
