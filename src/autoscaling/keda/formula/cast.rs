//! How KEDA wraps a formula before it compiles it (`castToFloatIfNecessary`, v2.15 to v2.20).

use crate::autoscaling::keda::KedaVersion;
use std::ops::Range;

/// The text that KEDA compiles, and where in it the user's formula lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CastFormula {
    pub(super) text: String,
    pub(super) formula: Range<usize>,
}

/// Wraps `formula` so that its value is a float: in `float(...)`, or, where it contains `??`, so that nil stays nil and
/// the fallback can stand in for it (since v2.20).
///
/// KEDA looks at the text only. A `??` in a comment or a text counts; a formula that starts with `float(` is taken to be
/// wrapped already, whatever follows; and a comment at the end swallows the closing bracket.
pub(super) fn cast_to_float_if_necessary(formula: &str, version: KedaVersion) -> CastFormula {
    const RESULT: &str = "let _kedaCompositeResult = ";
    let (before, after) = if version.formulas_know_nil() && formula.contains("??") {
        if formula.starts_with(RESULT) {
            ("", "")
        } else {
            (
                "let _kedaCompositeResult = (",
                "); _kedaCompositeResult == nil ? nil : float(_kedaCompositeResult)",
            )
        }
    } else if formula.starts_with("float(") {
        ("", "")
    } else {
        ("float(", ")")
    };
    CastFormula {
        text: format!("{before}{formula}{after}"),
        formula: before.len()..before.len() + formula.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_decides() {
        let cast = |formula| cast_to_float_if_necessary(formula, KedaVersion::V2_20).text;
        assert_eq!(cast("a + b"), "float(a + b)");
        assert_eq!(cast("float(a) > 1 ? 1 : 2"), "float(a) > 1 ? 1 : 2");
        assert_eq!(cast(" float(a)"), "float( float(a))");
        assert_eq!(
            cast("a // ??"),
            "let _kedaCompositeResult = (a // ??); _kedaCompositeResult == nil ? nil : float(_kedaCompositeResult)"
        );
        assert_eq!(cast("let _kedaCompositeResult = a ?? 1; 2.0"), "let _kedaCompositeResult = a ?? 1; 2.0");
        let wrapped = cast_to_float_if_necessary("a ?? 1", KedaVersion::V2_20);
        assert_eq!(&wrapped.text[wrapped.formula], "a ?? 1");
        assert_eq!(cast_to_float_if_necessary("a ?? 1", KedaVersion::V2_19).text, "float(a ?? 1)");
    }
}
