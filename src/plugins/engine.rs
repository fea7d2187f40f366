//! The script engine with every limit set, and the checks that a script passes before it may run.

use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicIteratorPackage, BasicMapPackage, BasicMathPackage, BasicStringPackage,
    LogicPackage, Package,
};
use rhai::{AST, Dynamic, Engine, OptimizationLevel, Scope};

use super::{budget, library, view};

/// Most elements of an array, nested ones included.
pub(super) const MAX_ARRAY: usize = 1_000;
/// Most entries of a map, nested ones included.
const MAX_MAP: usize = 200;
/// Most bytes of a text, and of all texts inside one array or map. Long messages fit. No function makes a text longer
/// than the sum of its arguments, so this also bounds what one operation allocates.
const MAX_STRING: usize = 16 * 1024;
/// Deepest nesting of calls. With the depths below it keeps the stack under a worker thread's 2 MiB, also unoptimised.
const MAX_CALLS: usize = 16;
/// Deepest nesting of expressions outside functions and inside.
const MAX_EXPRESSION: (usize, usize) = (32, 24);
/// Most variables alive in one call, and most functions in a script.
const MAX_VARIABLES: usize = 64;
const MAX_FUNCTIONS: usize = 32;

/// The constants that every function of a script sees: set per call through the engine's tag.
#[derive(Debug, Clone)]
pub(super) struct Constants {
    pub(super) params: view::View,
    pub(super) ctx: view::Context,
}

/// Builds the engine that all plugins share. It has no modules, files, clock, randomness or standard output; the
/// core package is left out for its `sleep`, the one of more strings for `replace` and `pad`, which allocate or loop
/// before any limit is looked at.
pub(super) fn build() -> Engine {
    let mut engine = Engine::new_raw();
    for package in [
        ArithmeticPackage::new().as_shared_module(),
        LogicPackage::new().as_shared_module(),
        BasicMathPackage::new().as_shared_module(),
        BasicIteratorPackage::new().as_shared_module(),
        BasicArrayPackage::new().as_shared_module(),
        BasicMapPackage::new().as_shared_module(),
        BasicStringPackage::new().as_shared_module(),
    ] {
        engine.register_global_module(package);
    }
    engine
        .set_max_call_levels(MAX_CALLS)
        .set_max_expr_depths(MAX_EXPRESSION.0, MAX_EXPRESSION.1)
        .set_max_string_size(MAX_STRING)
        .set_max_array_size(MAX_ARRAY)
        .set_max_map_size(MAX_MAP)
        .set_max_variables(MAX_VARIABLES)
        .set_max_functions(MAX_FUNCTIONS)
        .set_max_operations(0) // counted by `budget`
        .set_strict_variables(true)
        .set_fail_on_invalid_map_property(true)
        .set_optimization_level(OptimizationLevel::Simple) // `Full` would run functions at compile time
        .disable_symbol("eval")
        .on_progress(|_| budget::spend(1).err().map(|limit| Dynamic::from(format!("{limit:?}"))));
    resolve_constants(&mut engine);
    library::register(&mut engine);
    view::register(&mut engine);
    engine
}

/// Makes `params` and `ctx` visible in every function: a scope would reach only the one that is called from Rust.
#[expect(
    deprecated,
    reason = "rhai marks `on_var` as volatile, not as deprecated; rhai's version is pinned by the lock file"
)]
fn resolve_constants(engine: &mut Engine) {
    engine.on_var(|name, index, context| {
        // A local variable of that name has an index, and hides the constant.
        if index != 0 || !matches!(name, "params" | "ctx") {
            return Ok(None);
        }
        let constants = context.tag().read_lock::<Constants>();
        Ok(constants.map(|constants| match name {
            "params" => Dynamic::from(constants.params.clone()),
            _ => Dynamic::from(constants.ctx),
        }))
    });
}

/// Compiles a script that declares `fn filter(n)`; else says what is wrong with it, with line and column if known.
pub(super) fn compile(engine: &Engine, script: &str) -> Result<AST, String> {
    // Strict variables ask for the names; the values come with each call.
    let mut names = Scope::new();
    names.push("params", ()).push("ctx", ());
    let ast = engine.compile_with_scope(&names, script).map_err(|error| lower_first(&error.to_string()))?;
    let arities: Vec<_> = ast.iter_functions().filter(|f| f.name == "filter").map(|f| f.params.len()).collect();
    match arities[..] {
        [1] => Ok(ast.clone_functions_only()),
        [] => Err("there is no `fn filter(n)`".into()),
        [arity] => Err(format!("`fn filter` takes {arity} parameters, not the notification alone")),
        _ => Err("`fn filter` is declared more than once".into()),
    }
}

/// Messages are lower case; rhai's start upper case.
fn lower_first(message: &str) -> String {
    let mut chars = message.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
