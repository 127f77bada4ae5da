//! What must not compile.

#[test]
fn nobody_else_makes_an_authenticated() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
