//! Calling a function that a component exports, by its name or as `INTERFACE#FUNCTION`.

use berth_contract::{Class, Error, Result};
use wasmtime::Store;
use wasmtime::component::types::Type;
use wasmtime::component::{Component, Func, Instance, Linker, Val};

use super::{State, failed_start};
use crate::ending::{self, Outcome};

/// Calls the function, which takes nothing; a result's failure is 1, and a number is the exit status.
pub(super) async fn call(
    store: &mut Store<State>,
    component: &Component,
    linker: &Linker<State>,
    name: &str,
) -> Result<Outcome> {
    let instance = match linker.instantiate_async(&mut *store, component).await {
        Ok(instance) => instance,
        Err(error) => return failed_start(error),
    };
    let refused = |sentence: String| Error::new(Class::CannotInvoke, sentence);
    let function = find(store, &instance, name).ok_or_else(|| {
        let kind = component.component_type();
        let names: Vec<&str> = kind
            .exports(component.engine())
            .map(|(name, _)| name)
            .collect();
        ending::absent(
            &format!("the wasm component has no function {name}"),
            &names,
        )
    })?;
    let kind = function.ty(&*store);
    if kind.params().len() > 0 {
        return Err(
            refused(format!("the wasm function {name} takes parameters"))
                .caused_by("a container's entry has none"),
        );
    }
    let returned: Vec<Type> = kind.results().collect();
    if !returned.iter().all(is_status) {
        return Err(refused(format!(
            "the wasm function {name} returns what is no exit status"
        ))
        .caused_by("a container's entry returns nothing, a result or a number"));
    }
    let mut values = vec![Val::Bool(false); returned.len()];
    Ok(match function.call_async(store, &[], &mut values).await {
        Ok(()) => Outcome::Status(values.first().map_or(0, status)),
        Err(error) => Outcome::of(&error),
    })
}

fn find(store: &mut Store<State>, instance: &Instance, name: &str) -> Option<Func> {
    let Some((interface, name)) = name.rsplit_once('#') else {
        return instance.get_func(store, name);
    };
    let interface = instance.get_export_index(&mut *store, None, interface)?;
    let function = instance.get_export_index(&mut *store, Some(&interface), name)?;
    instance.get_func(store, function)
}

fn is_status(kind: &Type) -> bool {
    let numbers = [
        Type::U8,
        Type::S8,
        Type::U16,
        Type::S16,
        Type::U32,
        Type::S32,
    ];
    matches!(kind, Type::Result(_)) || numbers.contains(kind)
}

fn status(value: &Val) -> u8 {
    match *value {
        Val::Result(Err(_)) => 1,
        Val::U8(status) => status,
        Val::S8(status) => ending::truncated(status.into()),
        Val::U16(status) => ending::truncated(status.into()),
        Val::S16(status) => ending::truncated(status.into()),
        Val::U32(status) => ending::truncated(status.cast_signed()),
        Val::S32(status) => ending::truncated(status),
        _ => 0,
    }
}
