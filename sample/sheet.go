package sample

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

func fileName(file int) string {
	return [numFiles]string{"product.csv", "features.csv", "styles.csv", "related.csv", "photos.csv", "skus.csv"}[file]
}

func header(file int) string {
	return [numFiles]string{
		"id,name,slogan,description,category,default_price",
		"id,product_id,feature,value",
		"id,productId,name,sale_price,original_price,default_style",
		"id,current_product_id,related_product_id",
		"id,styleId,url,thumbnail_url",
		"id,styleId,size,quantity",
	}[file]
}

// messyHeader writes the header with blanks, in another case, or under other
// names of the same columns.
func messyHeader(file int, variant uint64) string {
	return [numFiles][3]string{
		{"id, name, slogan, description, category, default_price", "ID,Name,Slogan,Description,Category,Default_Price", " id,name ,slogan, Description,category,DEFAULT_PRICE "},
		{"id, product_id, feature, value", "Id,Product_ID,Feature,Value", "id, productId, feature, value"},
		{"id, productId, name, sale_price, original_price, default_style", "ID,PRODUCTID,Name,Sale_Price,Original_Price,Default_Style", "id,product_id,name,sale_price,original_price,default_style"},
		{"id, current_product_id, related_product_id", "ID,Current_Product_ID,Related_Product_ID", "Id, current_product_id , related_product_id"},
		{"id, styleId, url, thumbnail_url", "ID,StyleID,URL,Thumbnail_URL", "id,style_id,url,thumbnail_url"},
		{"id, styleId, size, quantity", "Id,StyleId,Size,Quantity", "id, style_id, size, quantity"},
	}[file][variant%3]
}

const byteOrderMark = "\ufeff"

// sheet is one file while it is written. Chunks come in order; what a sheet
// does depends on nothing but their bytes.
type sheet struct {
	file    int
	path    string
	out     *os.File
	w       *bufio.Writer
	off     int64 // bytes written
	planted Planted
	plants  *planter // nil in the clean edition
}

func newSheet(dir string, file int) (*sheet, error) {
	path := filepath.Join(dir, fileName(file))
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err // names the path
	}
	return &sheet{file: file, path: path, out: out, w: bufio.NewWriterSize(out, 256<<10)}, nil
}

func (s *sheet) write(b []byte) error {
	n, err := s.w.Write(b)
	s.off += int64(n)
	return err // of os.File: names the path
}

func (s *sheet) writeHeader(seed uint64) error {
	line := header(s.file)
	if s.plants != nil {
		line = messyHeader(s.file, mix(seed)+uint64(s.file))
		s.planted.add(repair, KindHeader, 1)
		if (seed+uint64(s.file))%2 == 0 {
			line = byteOrderMark + line
			s.planted.add(repair, KindBOM, 1)
		}
	}
	return s.write([]byte(line + "\n"))
}

// append writes the file's rows of one chunk. The file's last line gets no
// line end, as in the real files.
func (s *sheet) append(c *chunk, last bool) error {
	lines := c.rows[s.file]
	if len(lines) == 0 {
		return nil
	}
	s.planted.Rows += int64(bytes.Count(lines, []byte("\n")))
	s.planted.merge(&c.planted[s.file])
	if s.plants != nil {
		return s.plants.append(s, lines, c.taken[s.file], last)
	}
	if last {
		lines = lines[:len(lines)-1]
	}
	return s.write(lines)
}

func (s *sheet) close() error {
	err := s.w.Flush()
	if e := s.out.Close(); err == nil && e != nil {
		err = fmt.Errorf("close %s: %w", s.path, e)
	}
	s.planted.Bytes = s.off
	return err
}
