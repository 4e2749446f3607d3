//! Calls of functions and methods, and their arguments.

use super::super::ast::{BuiltinCall, Kind, NodeId};
use super::super::builtin::{Body, Builtin, Check};
use super::super::error::{Class, ExprError};
use super::super::nature::{Nature, Type, TypeKind};
use super::{Checked, Checker};

impl Checker<'_> {
    /// A call by a name that is no function's: of a method, of a function that `let` gave another name (which does
    /// not run, as functions are no values), or of nothing that can be called.
    pub(super) fn call(&mut self, id: NodeId, callee: NodeId, arguments: &[NodeId]) -> Checked {
        if self.is_env(callee) {
            return Err(self.error(id, Class::NotCallable, "map[string]float64 is not callable"));
        }
        let nature = self.visit(callee)?;
        if nature.is_unknown() {
            return Ok(Nature::default());
        }
        if let Some(builtin) = nature.builtin {
            return self.function(id, builtin, arguments);
        }
        let name = match self.ast.kind(callee) {
            Kind::Identifier(name) => name.to_string(),
            Kind::Member { property, .. } => {
                self.ast.text(*property).map_or_else(|| "function".to_owned(), ToString::to_string)
            }
            _ => "function".to_owned(),
        };
        match nature.ty {
            Some(Type::Func(signature)) => {
                // The first parameter is the receiver.
                self.overload(id, &name, &signature.parameters[1..], arguments)??;
                Ok(signature.results[0].into())
            }
            None => {
                let message = format!("{name} is nil; cannot call nil as function");
                Err(self.error(id, Class::NotCallable, message))
            }
            Some(ty) => Err(self.error(id, Class::NotCallable, format!("{ty} is not callable"))),
        }
    }

    pub(super) fn builtin(&mut self, id: NodeId, call: &BuiltinCall) -> Checked {
        if let Body::Loop(kind) = call.builtin.body {
            return self.loop_over(kind, call);
        }
        self.function(id, call.builtin, &call.arguments)
    }

    fn function(&mut self, id: NodeId, builtin: &Builtin, arguments: &[NodeId]) -> Checked {
        match &builtin.check {
            Check::Get => self.get(id, arguments),
            Check::Validate(validate) => {
                let mut types = Vec::new();
                for &argument in arguments {
                    let nature = self.visit(argument)?;
                    types.push(if nature.is_unknown() { Some(Type::Any) } else { nature.ty });
                }
                let checked = validate(&types);
                checked.map(Nature::from).map_err(|(class, message)| self.error(id, class, message))
            }
            Check::Signatures(signatures) => {
                let mut mistake = None;
                for signature in *signatures {
                    match self.overload(id, builtin.name, signature.parameters, arguments)? {
                        Ok(()) => return Ok(signature.results[0].into()),
                        Err(error) => mistake = Some(error),
                    }
                }
                // The last overload's mistake counts.
                Err(mistake.unwrap_or_else(|| {
                    let message = format!("no matching overload for {}", builtin.name);
                    self.error(id, Class::BadArgument, message)
                }))
            }
        }
    }

    /// Whether the arguments fit these parameters. The outer error is a mistake within an argument.
    fn overload(
        &mut self,
        id: NodeId,
        name: &str,
        parameters: &[Type],
        arguments: &[NodeId],
    ) -> Result<Result<(), ExprError>, ExprError> {
        if arguments.len() != parameters.len() {
            for &argument in arguments {
                self.visit(argument)?;
            }
            let few = if arguments.len() > parameters.len() { "too many" } else { "not enough" };
            let message = format!("{few} arguments to call {name}");
            return Ok(Err(self.error(id, Class::Arity, message)));
        }
        for (&argument, &parameter) in arguments.iter().zip(parameters) {
            let nature = self.visit(argument)?;
            let wanted = Nature::from(parameter);
            if nature.is_integer() && (wanted.is_integer() || wanted.is_float()) {
                continue;
            }
            if nature.nil {
                if parameter.kind() == TypeKind::Interface {
                    continue;
                }
                let message = format!("cannot use nil as argument (type {parameter}) to call {name}");
                return Ok(Err(self.error(argument, Class::BadArgument, message)));
            }
            if !nature.is_assignable_to(&wanted) && !nature.is_unknown() {
                let message = format!("cannot use {nature} as argument (type {parameter}) to call {name} ");
                return Ok(Err(self.error(argument, Class::BadArgument, message)));
            }
        }
        Ok(Ok(()))
    }
}
