package invalid

// longest is how much of a word Nearest looks at, in bytes.
const longest = 64

// Nearest is the known word that takes the fewest changed bytes to make from
// word: what the client most likely meant. It is "" when nothing is known.
func Nearest(word string, known []string) string {
	best, least := "", 2*longest+1
	for _, k := range known {
		if d := distance(word, k); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is the Levenshtein distance of the beginnings of a and b.
func distance(a, b string) int {
	a, b = a[:min(len(a), longest)], b[:min(len(b), longest)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
