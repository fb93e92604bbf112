package doctor

var Secret = secret
