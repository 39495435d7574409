// Rows of activations in the formats that linear layers take: 8-bit integers, scaled by their own largest value, and
// bfloat16.

// `integers` are more by OFFSET than they are, filled up to `padded` with what adds nothing. A row that holds an infinite
// number or none has no largest one.
inline void quantize_row(const float *x, int64_t inputs, uint8_t *integers, int64_t padded, float *largest_value) {
    F16 most = splat(0), nothing = splat(0);
    int64_t k = 0;
    for (; k + 16 <= inputs; k += 16) {
        F16 value = load(x + k);
        most = larger(magnitude(value), most);
        nothing += value * 0.0f; // infinite or no number: then this is none, either
    }
    if (k < inputs) {
        F16 value = load_some(x + k, inputs - k, 0);
        most = larger(magnitude(value), most);
        nothing += value * 0.0f;
    }
    const float scale = largest(most), check = sum(nothing);
    *largest_value = check == 0 ? scale : check;
    // A row of zeros, and one that holds no numbers: any integers will do.
    const F16 factor = splat(check == 0 && scale > 0 ? 127.0f / scale : 0.0f);
    for (k = 0; k < padded; k += 16) {
        F16 value = inputs - k >= 16 ? load(x + k) : load_some(x + k, inputs - k, 0);
        B16 bytes = narrow(whole(rounded(value * factor))) ^ (int8_t)(OFFSET ? -128 : 0);
        __builtin_memcpy(integers + k, &bytes, padded - k >= 16 ? 16 : padded - k);
    }
}

// quantize: 0 rows [R, >= K] float, 1 integers [R, K] to write, 2 largest values [R] to write
//           sizes: R, inputs that there are, distance of rows, K
inline int64_t quantize_units(const Instruction &i) { return i.size[0]; }
inline double quantize_cost(const Instruction &i) { return 20 + i.size[1] * 0.3; }
inline void quantize(const Instruction &i, int64_t first, int64_t last) {
    for (int64_t row = first; row < last; row++)
        quantize_row(i.as<float>(0) + row * i.size[2], i.size[1], i.as<uint8_t>(1) + row * i.size[3], i.size[3],
                     i.as<float>(2) + row);
}

// round: 0 rows [R, >= K] float, 1 the nearest numbers in bfloat16 [R, K] to write, of two the even one; filled up with zeros
//        sizes: R, inputs that there are, distance of rows, K
inline int64_t round_units(const Instruction &i) { return i.size[0]; }
inline double round_cost(const Instruction &i) { return 10 + i.size[1] * 0.1; }
inline void round(const Instruction &i, int64_t first, int64_t last) {
    const int64_t inputs = i.size[1], padded = i.size[3];
    for (int64_t row = first; row < last; row++) {
        const float *x = i.as<float>(0) + row * i.size[2];
        uint16_t *out = i.as<uint16_t>(1) + row * padded;
        for (int64_t k = 0; k < padded; k += 16) {
            const F16 value = inputs - k >= 16 ? load(x + k) : load_some(x + k, inputs - k, 0);
            const I16 all = bits(chosen(value == value, value, splat(__builtin_nanf("")))); // others would go past the last integer
            const H16 halves = halved((all + 0x7fff + (all >> 16 & 1)) >> 16);
            __builtin_memcpy(out + k, &halves, padded - k >= 16 ? 32 : (padded - k) * 2);
        }
    }
}
