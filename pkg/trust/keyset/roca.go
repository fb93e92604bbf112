package keyset

import "math/big"

// rocaPrimes are small primes modulo which a key of the faulty generator of
// CVE-2017-15361 is always a power of 65537.
var rocaPrimes = [...]int64{
	11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157,
}

// isROCA reports whether n has the fingerprint of that generator, whose keys can be
// factored. Only one in many millions of other keys has it.
func isROCA(n *big.Int) bool {
	residue := new(big.Int)
	for _, p := range rocaPrimes {
		r := residue.Mod(n, big.NewInt(p)).Int64()
		if !isPowerOf65537(r, p) {
			return false
		}
	}
	return true
}

func isPowerOf65537(r, p int64) bool {
	for x, i := int64(1), int64(0); i < p; i++ {
		if x == r {
			return true
		}
		x = x * 65537 % p
	}
	return false
}
