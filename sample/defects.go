package sample

import "slices"

// defect is something wrong that can be done to a line. do changes the row and
// reports true, or reports false where the row doesn't suit; then the row is
// of no more use.
type defect struct {
	class class
	kinds []string // what a load counts for it; a reject has one
	do    func(c *craft, r *row) bool
	// unreadable says that the row's own id can't be told from the line.
	unreadable bool
	// limit is how many a file gets at most, 0 for any number.
	limit int64
	// empty says that the defect is a line of its own.
	empty bool
}

func repairs(kind string, do func(*craft, *row) bool) *defect {
	return &defect{class: repair, kinds: []string{kind}, do: do}
}

func rejects(kind string, do func(*craft, *row) bool) *defect {
	return &defect{class: reject, kinds: []string{kind}, do: do}
}

// both is two defects on one line. Of two repairs both are counted, of a
// reject and anything behind it only the reject.
func both(first, second *defect) *defect {
	d := *first
	if d.class != reject {
		d.kinds = slices.Concat(first.kinds, second.kinds)
	}
	d.unreadable = first.unreadable || second.unreadable
	d.do = func(c *craft, r *row) bool { return first.do(c, r) && second.do(c, r) }
	return &d
}

// inPlace are the defects that keep a row and its meaning: planted on the
// catalogue's own rows, they leave what a load makes of them unchanged (but for
// malformed URLs, which are kept, and stray quotes, of which only the number
// is promised).
func inPlace(file int) []*defect {
	crlf := repairs(KindCRLF, endCRLF)
	blanks := repairs(KindBlankPadding, padBlanks)
	stray := repairs(KindStrayQuote, strayQuote)
	decoration := repairs(KindPriceDecoration, decoratePrice)
	thousands := repairs(KindThousandsComma, thousandsComma)
	unclosed := repairs(KindUnclosedQuote, dropLastQuote)
	all := []*defect{crlf, blanks, both(blanks, crlf)}
	switch file {
	case products:
		all = append(all, stray, decoration, thousands, both(thousands, decoration), both(decoration, blanks), both(stray, crlf))
	case features:
		null := repairs(KindQuotedNull, quoteNull)
		missing := repairs(KindMissingField, dropNullValue)
		all = append(all, null, unclosed, stray, missing, both(null, crlf), both(missing, crlf), both(blanks, unclosed), both(unclosed, crlf))
	case styles:
		zero := repairs(KindZeroSalePrice, zeroSale)
		missing := repairs(KindMissingField, dropNullSale)
		extra := repairs(KindExtraField, bareComma)
		all = append(all, zero, stray, decoration, thousands, missing, extra, both(zero, blanks), both(zero, decoration), both(missing, crlf), both(extra, zero))
	case photos:
		url := &defect{class: warning, kinds: []string{KindMalformedURL}, do: malformURL}
		all = append(all, unclosed, stray, url, both(unclosed, crlf), both(stray, unclosed), both(blanks, stray))
	case skus:
		extra := repairs(KindExtraField, bareComma)
		all = append(all, extra, both(extra, crlf))
	}
	return all
}

// extras are the defects that need a line of their own: an empty one, or a
// row beyond the catalogue's own that a load rejects.
func extras(file int) []*defect {
	badID := &defect{class: reject, kinds: []string{KindBadID}, do: badOwnID, unreadable: true}
	badPrice := rejects(KindBadPrice, badPrice)
	ambiguous := rejects(KindAmbiguousPrice, ambiguousPrice)
	duplicate := rejects(KindDuplicateID, duplicateID)
	missing := rejects(KindMissingField, dropNeeded)
	extra := rejects(KindExtraField, addField)
	utf8 := rejects(KindInvalidUTF8, invalidUTF8)
	nul := rejects(KindNULByte, nulByte)
	orphan := rejects(KindOrphan, orphanRow)
	badParent := rejects(KindBadID, badParentID)
	crlf := repairs(KindCRLF, endCRLF)
	all := []*defect{
		{class: repair, kinds: []string{KindEmptyLine}, empty: true},
		badID, missing, extra, utf8, nul, duplicate,
		{class: reject, kinds: []string{KindLineTooLong}, do: tooLong, unreadable: true, limit: 2},
		both(badID, crlf), both(nul, utf8), both(missing, badID),
	}
	if file != products {
		all = append(all, orphan, badParent, both(duplicate, orphan), both(badParent, crlf))
	}
	switch file {
	case products:
		all = append(all, badPrice, ambiguous, both(badID, badPrice), both(badPrice, crlf), both(duplicate, crlf))
	case styles:
		flag := rejects(KindBadDefaultStyle, badDefaultStyle)
		all = append(all, badPrice, ambiguous, rejects(KindBadPrice, badSale), flag, both(badPrice, flag), both(badParent, flag))
	case related:
		dangling := rejects(KindDanglingRelated, danglingTarget)
		all = append(all, dangling, rejects(KindDanglingRelated, zeroTarget), rejects(KindBadID, badTarget), both(orphan, dangling), both(dangling, crlf))
	case photos:
		all = append(all, both(orphan, repairs(KindUnclosedQuote, dropLastQuote)))
	case skus:
		quantity := rejects(KindBadQuantity, badQuantity)
		all = append(all, quantity, both(quantity, crlf), both(badParent, quantity))
	}
	return all
}

// ownRejects are the faults that the catalogue's own products and styles get,
// so that their children are rejected with them. The first is a cheap one.
func ownRejects(file int) []*defect {
	badID := &defect{class: reject, kinds: []string{KindBadID}, do: badOwnID, unreadable: true}
	all := []*defect{
		rejects(KindBadPrice, badPrice),
		badID,
		rejects(KindInvalidUTF8, invalidUTF8),
		rejects(KindMissingField, dropNeeded),
		rejects(KindExtraField, addField),
		rejects(KindNULByte, nulByte),
		rejects(KindAmbiguousPrice, ambiguousPrice),
	}
	if file == products {
		return append(all, &defect{class: reject, kinds: []string{KindLineTooLong}, do: tooLong, unreadable: true, limit: 1})
	}
	return append(all,
		rejects(KindBadDefaultStyle, badDefaultStyle),
		rejects(KindOrphan, orphanRow),
		rejects(KindBadID, badParentID))
}
