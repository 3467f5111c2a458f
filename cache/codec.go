package cache

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

const (
	// dictionarySize: 16 KiB makes average records 5 % larger, 64 KiB saves
	// nothing more (BenchmarkPacked).
	dictionarySize = 32 << 10
	// packLevel: the default level takes twice as long, and with a dictionary
	// its records are no smaller.
	packLevel = zstd.SpeedFastest
)

// codec compresses rows with a dictionary made from rows of the same
// catalogue: alone, they are too short to have much in common with themselves.
type codec struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
}

// newCodec makes a dictionary of a size from the wire forms of some products.
func newCodec(samples [][]byte, size int, level zstd.EncoderLevel) (*codec, error) {
	// Whole products, from all over the sample: a piece of one is found again in
	// no other.
	var history []byte
	const stride = 17
	for i := range samples {
		sample := samples[i*stride%len(samples)]
		if len(history)+len(sample) > size && len(history) > 0 {
			break
		}
		history = append(history, sample...)
	}
	history = history[:min(len(history), size)]
	dictionary, err := zstd.BuildDict(zstd.BuildDictOptions{
		ID: 1, Contents: samples, History: history, Offsets: [3]int{1, 4, 8}, Level: level,
	})
	if err != nil {
		return nil, fmt.Errorf("make a dictionary of %d products: %w", len(samples), err)
	}
	c := new(codec)
	c.encoder, err = zstd.NewWriter(nil, zstd.WithEncoderDict(dictionary), zstd.WithEncoderLevel(level),
		zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true),
		zstd.WithWindowSize(64<<10), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("make an encoder: %w", err)
	}
	c.decoder, err = zstd.NewReader(nil, zstd.WithDecoderDicts(dictionary), zstd.WithDecoderConcurrency(0),
		zstd.IgnoreChecksum(true))
	if err != nil {
		return nil, fmt.Errorf("make a decoder: %w", err)
	}
	return c, nil
}

func (c *codec) pack(dst, wire []byte) []byte { return c.encoder.EncodeAll(wire, dst) }

func (c *codec) unpack(dst, packed []byte) ([]byte, error) {
	dst, err := c.decoder.DecodeAll(packed, dst)
	if err != nil {
		return dst, fmt.Errorf("unpack a row: %w", err)
	}
	return dst, nil
}
